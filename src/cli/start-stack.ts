import { AnnealError } from '../core/failures.js';
import type { LocalServices } from '../local/local-servers.js';
import type { OnServer } from '../local/server-process.js';
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

/** What a foreground command has started so far; it tells the truth also when the start then fails. */
export class StartedParts {
  readonly #servers = new Map<string, 'found' | 'started'>();
  #worker: RunningWorker | undefined;

  readonly onServer: OnServer = (name, state) => void this.#servers.set(name, state);

  readonly onWorker = (worker: RunningWorker): void => {
    if (worker.started || this.#worker === undefined) this.#worker = worker;
  };

  /** The worker to stop at the end: neither one that was there, nor one that took the place of somebody's. */
  get worker(): RunningWorker['process'] | undefined {
    const worker = this.#worker;
    return worker?.started === true && worker.replaced !== true ? worker.process : undefined;
  }

  /** Something was there before, so it goes on when we go. */
  get found(): boolean {
    const worker = this.#worker;
    const workerStays = worker !== undefined && (!worker.started || worker.replaced === true);
    return workerStays || [...this.#servers.values()].includes('found');
  }

  /** All local servers are ours. They are stopped together. */
  get servers(): boolean {
    return this.#servers.size > 0 && ![...this.#servers.values()].includes('found');
  }
}

/** Servers and build at once; the worker with that build as soon as there is something to work for, while MLflow may still be starting. */
export async function startStack(
  project: Project,
  {
    terminal,
    signal,
    parts = new StartedParts(),
  }: { readonly terminal: Terminal; readonly signal: AbortSignal; readonly parts?: StartedParts },
): Promise<StartedStack> {
  refuseStoreBuilds(project);
  const say = (line: string) => terminal.line(terminal.colors.dim(`  ${line}`));
  let onWorkable: () => void = () => undefined;
  const workable = new Promise<void>((resolve) => (onWorkable = resolve));
  const building = project.build(say);
  const serving = project.stack.startServers({
    onProgress: say,
    signal,
    onServer: parts.onServer,
    onWorkable,
  });
  const working = Promise.all([building, Promise.race([workable, serving])]).then(
    async ([build]) => await startWorker(project, { build, terminal, signal, parts }),
  );
  const [built, servers, worked] = await Promise.allSettled([building, serving, working]);
  // A fault in the user's code is what the user can mend: said first.
  if (built.status === 'rejected') throw built.reason;
  if (servers.status === 'rejected') throw servers.reason;
  if (worked.status === 'rejected') throw worked.reason;
  signal.throwIfAborted();
  const build = built.value;
  const services = servers.value;
  const { trackingUri, worker } = worked.value;
  // MLflow came up at another place than was known when the worker was started.
  const moved = trackingUri !== undefined && trackingUri !== (await project.addresses()).trackingUri;
  return {
    services,
    build,
    worker: moved ? (await startWorker(project, { build, terminal, signal, parts })).worker : worker,
  };
}

/** What is made current here would be so for nobody: workers on other machines take builds from the store. */
function refuseStoreBuilds({ config: { builds, project } }: Project): void {
  if (builds === 'store')
    throw new AnnealError(
      'InvalidCommand',
      `Workers of project "${project}" take their builds from the store, not from this directory. Deploy the code with "anneal deploy", try it with "anneal run PIPELINE --remote", serve it here with "anneal worker".`,
    );
}

interface WorkerStart {
  readonly build: ProjectBuild;
  readonly terminal: Terminal;
  readonly signal: AbortSignal;
  readonly parts: StartedParts;
}

async function startWorker(project: Project, { build, terminal, signal, parts }: WorkerStart) {
  for (const warning of build.warnings) terminal.error(terminal.colors.yellow(warning));
  signal.throwIfAborted();
  await project.stack.makeCurrent(build.digest);
  const { trackingUri } = await project.addresses();
  const worker = await project.stack.ensureWorker();
  parts.onWorker(worker);
  await project.stack.workerReady({ worker, build: build.digest, signal });
  return { worker, trackingUri };
}
