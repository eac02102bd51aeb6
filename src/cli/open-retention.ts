import type { Retention } from '../client/index.js';
import type { CommandContext } from './command.js';
import type { Project } from './context.js';

/** The retention of a project, with the registry that it asks. @throws AnnealError ServerUnreachable. */
export async function openRetention(context: CommandContext, project: Project): Promise<Retention> {
  const [{ createRetention }, { openStore }, { readModelRuns }, { openReadCode }, { hostname }] =
    await Promise.all([
      import('../client/index.js'),
      import('../workers/open-store.js'),
      import('../workers/retention-parts.js'),
      import('../workers/read-code.js'),
      import('node:os'),
    ]);
  const { config, paths } = project;
  const { trackingUri } = await project.addresses();
  const { client } = await project.temporal();
  const store = openStore(paths);
  return createRetention({
    temporal: client,
    project: config.project,
    store,
    registered:
      trackingUri === undefined
        ? undefined
        : async () => await readModelRuns(trackingUri, { ...context.env }),
    policy: config.retention,
    clock: { nowMs: context.nowMs },
    readCode: openReadCode(config, store),
    holder: { host: hostname(), process: process.pid },
  });
}
