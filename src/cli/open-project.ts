import type { ProjectConfig } from '../config/project-config.js';
import type { ProjectPaths } from '../config/project-paths.js';
import { withoutCredentials } from '../core/without-credentials.js';
import type { Build } from '../workers/build/build-manifest.js';
import { createConnection, findAddresses } from './connect-services.js';
import type { Project } from './context.js';
import { createLocalStack } from './local-stack.js';

/** What {@link openProject} takes. */
export interface OpenProjectOptions {
  readonly cwd: string;
  readonly env: { readonly [name: string]: string | undefined };
  /** anneal.yaml or its directory; default: searched from `cwd` upward. */
  readonly path?: string;
}

/** Opens a project: reads anneal.yaml, and nothing else yet. @throws AnnealError InvalidConfig. */
export async function openProject({ cwd, env, path }: OpenProjectOptions): Promise<Project> {
  const [{ loadConfig }, { projectPaths }] = await Promise.all([
    import('../config/load-config.js'),
    import('../config/project-paths.js'),
  ]);
  const config = await loadConfig({ cwd, env, ...(path === undefined ? {} : { path }) });
  const paths = projectPaths(config);
  const addresses = async () => await findAddresses(config, paths);
  const connection = createConnection({ config, paths, addresses, env });
  return {
    config,
    paths,
    addresses,
    ...connection,
    links: async () => {
      const { temporalUiUrl, trackingUri, namespace } = await addresses();
      return {
        namespace,
        ...(temporalUiUrl === undefined ? {} : { temporalUiUrl: withoutCredentials(temporalUiUrl) }),
        ...(trackingUri === undefined ? {} : { trackingUiUrl: withoutCredentials(trackingUri) }),
      };
    },
    build: async (onProgress) => {
      const { buildProject } = await import('../workers/build/build-project.js');
      return await buildProject({ config, onProgress });
    },
    watch: async (options) => await (await import('./watch-code.js')).watchCode({ config, paths }, options),
    currentBuild: async () => await findCurrentBuild(config, paths),
    stack: createLocalStack({ config, paths, env, addresses, temporal: connection.temporal }),
  };
}

async function findCurrentBuild(config: ProjectConfig, paths: ProjectPaths): Promise<Build> {
  if (config.builds === 'store')
    return await (await import('./stored-build.js')).fetchCurrentBuild(config, paths);
  const [{ loadBuild }, { readCurrent }] = await Promise.all([
    import('../workers/build/load-build.js'),
    import('../workers/current-build.js'),
  ]);
  const current = await readCurrent(paths.buildsDir);
  if (current !== undefined) return await loadBuild(paths.buildsDir, current);
  const { buildProject } = await import('../workers/build/build-project.js');
  return await buildProject({ config });
}
