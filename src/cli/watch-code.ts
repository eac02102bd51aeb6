import type { ProjectConfig } from '../config/project-config.js';
import type { ProjectPaths } from '../config/project-paths.js';
import type { ProjectBuild } from '../workers/build/build-project.js';

/** What `anneal dev` is told while code changes. */
export interface WatchCodeOptions {
  /** Files of the last build. */
  readonly inputs: readonly string[];
  readonly onBuild: (build: ProjectBuild) => void;
  /** Once per fault, however often the files are saved with it. */
  readonly onError: (message: string) => void;
  /** The code is again that of the current build. */
  readonly onMended: (digest: string) => void;
}

/** Builds after every change, one build at a time, and makes it current. After a fault the last good build stays. @returns what ends it. */
export async function watchCode(
  { config, paths }: { readonly config: ProjectConfig; readonly paths: ProjectPaths },
  { inputs, onBuild, onError, onMended }: WatchCodeOptions,
): Promise<() => void> {
  const [{ buildProject }, { watchProject }, { makeCurrent, readCurrent }] = await Promise.all([
    import('../workers/build/build-project.js'),
    import('../workers/build/watch-project.js'),
    import('../workers/current-build.js'),
  ]);
  let last: Promise<void> = Promise.resolve();
  let fault: string | undefined;
  const rebuild = async () => {
    try {
      const build = await buildProject({ config });
      watch.update(build.inputs);
      // Code that was changed back has been built before, but is not what new runs use.
      const isCurrent = (await readCurrent(paths.buildsDir)) === build.digest;
      if (!isCurrent) {
        await makeCurrent(paths.buildsDir, build.digest);
        onBuild(build);
      } else if (fault !== undefined) onMended(build.digest);
      fault = undefined;
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (message !== fault) onError(message);
      fault = message;
    }
  };
  const watch = watchProject({
    inputs,
    onChange: () => {
      last = last.then(rebuild);
    },
  });
  return () => watch.close();
}
