import type { LocalServices } from '../local/local-servers.js';
import type { RunningWorker } from '../local/worker-process.js';
import type { ProjectBuild } from '../workers/build/build-project.js';
import type { Project } from './context.js';
import type { Terminal } from './terminal.js';

/** A project that is ready to run pipelines. */
export interface StartedStack {
  readonly services: LocalServices;
  readonly build: ProjectBuild;
  readonly worker: RunningWorker;
}

/** Servers and build at once, then the worker with that build. */
export async function startStack(
  project: Project,
  { terminal, signal }: { readonly terminal: Terminal; readonly signal: AbortSignal },
): Promise<StartedStack> {
  const say = (line: string) => terminal.line(terminal.colors.dim(`  ${line}`));
  const [servers, built] = await Promise.allSettled([
    project.stack.startServers({ onProgress: say, signal }),
    project.build(say),
  ]);
  // A fault in the user's code is what the user can mend: said first.
  if (built.status === 'rejected') throw built.reason;
  if (servers.status === 'rejected') throw servers.reason;
  for (const warning of built.value.warnings) terminal.error(terminal.colors.yellow(warning));
  signal.throwIfAborted();
  const build = built.value;
  await project.stack.makeCurrent(build.digest);
  const worker = await project.stack.ensureWorker();
  await project.stack.workerReady({ worker, build: build.digest, signal });
  return { services: servers.value, build, worker };
}
