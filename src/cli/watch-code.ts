import type { ProjectConfig } from '../config/project-config.js';
import type { ProjectPaths } from '../config/project-paths.js';
import type { ProjectBuild } from '../workers/build/build-project.js';

/** What `anneal dev` is told while code changes. */
export interface WatchCodeOptions {
  /** Files of the last build. */
  readonly inputs: readonly string[];
  readonly onBuild: (build: ProjectBuild) => void;
  readonly onError: (message: string) => void;
}

/** Builds after every change, one build at a time, and makes it current. After a fault the last good build stays. @returns what ends it. */
export async function watchCode(
  { config, paths }: { readonly config: ProjectConfig; readonly paths: ProjectPaths },
  { inputs, onBuild, onError }: WatchCodeOptions,
): Promise<() => void> {
  const [{ buildProject }, { watchProject }, { makeCurrent }] = await Promise.all([
    import('../workers/build/build-project.js'),
    import('../workers/build/watch-project.js'),
    import('../workers/current-build.js'),
  ]);
  let last: Promise<void> = Promise.resolve();
  const rebuild = async () => {
    try {
      const build = await buildProject({ config });
      watch.update(build.inputs);
      if (build.unchanged) return;
      await makeCurrent(paths.buildsDir, build.digest);
      onBuild(build);
    } catch (error) {
      onError(error instanceof Error ? error.message : String(error));
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
