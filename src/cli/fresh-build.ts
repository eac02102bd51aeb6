import type { Build } from '../workers/build/build-manifest.js';
import type { Project } from './context.js';
import type { Terminal } from './terminal.js';

/**
 * The build that a run started now is to use. Where the project's servers and a worker of it are on this machine, it is that of the code
 * as it is on disk, which becomes current; with an external server, or
 * while another build takes a share of new runs, it is what is current there.
 * @throws AnnealError BuildFailed; nothing is changed then.
 */
export async function freshBuild(
  project: Project,
  { terminal, signal }: { readonly terminal: Terminal; readonly signal: AbortSignal },
): Promise<Build> {
  const { stack, config } = project;
  const worker = config.temporal.address === undefined ? await stack.worker() : undefined;
  if (worker === undefined || (await stack.isRamping())) return await project.currentBuild();
  const build = await project.build(() => undefined);
  signal.throwIfAborted();
  if ((await stack.readCurrent()) !== build.digest) {
    for (const warning of build.warnings) terminal.error(terminal.colors.yellow(warning));
    await stack.makeCurrent(build.digest);
    terminal.line(`Built ${build.digest.slice(0, 12)}.`);
  }
  await stack.workerReady({ worker, build: build.digest, signal });
  return build;
}
