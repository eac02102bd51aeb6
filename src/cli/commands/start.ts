import type { RunReport } from '../../client/index.js';
import { shellWord } from '../../client/run-id.js';
import { chooseRun } from '../choose-run.js';
import type { Command, CommandContext, CommandOptions } from '../command.js';
import type { Project } from '../context.js';
import { exitCodeOf, followRun, showOutcome } from '../follow-run.js';
import { keepServersAlive } from '../keep-servers-alive.js';
import { keepWorkerAlive } from '../keep-worker-alive.js';
import { projectOption } from '../project-option.js';
import { EXIT, EXIT_INTERRUPTED } from '../report-error.js';
import { findRegisteredModel } from '../run-links.js';
import { withoutCredentials } from '../../core/without-credentials.js';
import { StartedParts, startStack, type StartedStack } from '../start-stack.js';
import { stopStack } from '../stop-stack.js';

/**
 * `npm start`: servers, build, worker, one run followed to its end, then it keeps serving on a terminal until Ctrl-C. With `--exit`, in
 * CI or without a terminal it exits with the run's status. What it started it stops; the run goes on with the next start.
 */
export const start: Command = async (context, _args, options) => {
  const project = await context.openProject();
  const parts = new StartedParts();
  return await context.interruptible(async (signal) => {
    try {
      const stack = await startStack(project, { terminal: context.terminal, signal, parts });
      return await runAndServe({ context, project, stack, parts, options, signal });
    } catch (error) {
      if (signal.aborted) return EXIT_INTERRUPTED;
      throw error;
    } finally {
      await stopStack(project, { terminal: context.terminal, parts, options });
    }
  });
};

interface Started {
  readonly context: CommandContext;
  readonly project: Project;
  readonly stack: StartedStack;
  readonly parts: StartedParts;
  readonly options: CommandOptions;
  readonly signal: AbortSignal;
}

async function runAndServe(started: Started): Promise<number> {
  const { context, project, stack, options, signal } = started;
  const { terminal } = context;
  // Two starts at once follow one run.
  const runId = await project.stack.inTurn(
    async () =>
      await chooseRun({
        client: await project.client(),
        pipelines: stack.build.manifest.pipelines,
        ...(options.pipeline === undefined ? {} : { name: options.pipeline }),
        say: (text) => terminal.line(text),
        signal,
      }),
  );
  let say: (text: string) => void = (text) => terminal.line(text);
  const keeper = keepWorkerAlive({
    stack: project.stack,
    first: stack.worker,
    say: (text) => say(text),
    onStart: started.parts.onWorker,
  });
  const moves = new EventTarget();
  const servers = keepServersAlive({
    stack: project.stack,
    first: stack.services,
    say: (text) => say(text),
    onMoved: async () => {
      await keeper.replace();
      moves.dispatchEvent(new Event('moved'));
    },
  });
  try {
    const onTree = (sayAbove: (text: string) => void) => (say = sayAbove);
    const report = await Promise.race([
      follow(started, runId, { moves, onTree }),
      keeper.failed,
      servers.failed,
    ]);
    say = (text) => terminal.line(text);
    if (!report) return detached(started, runId);
    showOutcome(report, { terminal, bases: await project.links() });
    if (!terminal.json) showWhatNext(started, report);
    if (options.exit === true || !terminal.interactive || isSet(context.env['CI'])) return exitCodeOf(report);
    terminal.line('\nServing until Ctrl-C.');
    await Promise.race([aborted(signal), keeper.failed, servers.failed]);
    return EXIT.ok;
  } finally {
    keeper.stop();
    await servers.stop();
  }
}

interface Following {
  /** Fires `moved` when the servers have another address. */
  readonly moves: EventTarget;
  readonly onTree: (say: (text: string) => void) => void;
}

/** Follows the run, over a change of the servers' address too. */
async function follow(
  { context, project, signal }: Started,
  runId: string,
  { moves, onTree }: Following,
): Promise<RunReport | undefined> {
  const { terminal, nowMs } = context;
  for (;;) {
    const moved = new AbortController();
    moves.addEventListener('moved', () => moved.abort(), { once: true });
    const client = await project.client();
    const either = AbortSignal.any([signal, moved.signal]);
    const report = await followRun(runId, {
      client,
      terminal,
      nowMs,
      signal: either,
      onTree,
      notices: false,
    });
    if (signal.aborted || !moved.signal.aborted) return report;
    await project.reconnect();
  }
}

function detached({ context }: Started, runId: string): number {
  context.terminal.show(
    { runId, interrupted: true },
    () => `\n${runId} is not finished; the next "npm start" or "anneal up" lets it go on.`,
  );
  return EXIT_INTERRUPTED;
}

function showWhatNext({ context, stack, options }: Started, report: RunReport): void {
  const { terminal } = context;
  const model = findRegisteredModel(report.calls);
  const alias = model?.alias ?? 'champion';
  if (model)
    terminal.line(
      [
        '',
        '  Load the model in Python:',
        '    import mlflow',
        `    mlflow.set_tracking_uri("${withoutCredentials(stack.services.mlflow.trackingUri)}")`,
        `    model = mlflow.pyfunc.load_model("models:/${model.name}@${alias}")`,
      ].join('\n'),
    );
  const pipeline = stack.build.manifest.pipelines.find(({ name }) => name === report.pipeline);
  const choice = Object.entries(pipeline?.params ?? {}).find(
    ([, schema]) => schema.type === 'string' && (schema.oneOf?.length ?? 0) > 1,
  );
  const other =
    choice && choice[1].type === 'string'
      ? choice[1].oneOf?.find((value) => value !== report.parameters[choice[0]])
      : undefined;
  const param = choice && other !== undefined ? ` --param ${choice[0]}=${other}` : '';
  const project = projectOption(options);
  terminal.line(
    [
      '',
      '  Try next, in another terminal:',
      `    anneal run ${report.pipeline}${param}${project} --wait`,
      `    anneal describe ${shellWord(report.runId)}${project}`,
      `    anneal logs ${shellWord(report.runId)}${project}`,
    ].join('\n'),
  );
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

function isSet(value: string | undefined): boolean {
  return value !== undefined && value !== '' && value !== '0' && value !== 'false';
}
