import type { AnnealClient, RunReport } from '../../client/index.js';
import { shellWord } from '../../client/run-id.js';
import { AnnealError } from '../../core/failures.js';
import type { Command, CommandContext, CommandOptions } from '../command.js';
import type { Project } from '../context.js';
import { exitCodeOf, followRun, showOutcome } from '../follow-run.js';
import { keepServersAlive } from '../keep-servers-alive.js';
import { keepWorkerAlive } from '../keep-worker-alive.js';
import { projectOption } from '../project-option.js';
import { EXIT, EXIT_INTERRUPTED } from '../report-error.js';
import { findRegisteredModel, withoutCredentials } from '../run-links.js';
import { StartedParts, startStack, type StartedStack } from '../start-stack.js';
import { stopStack } from '../stop-stack.js';
import { findPipeline } from './run.js';

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
      await stopStack(project, { terminal: context.terminal, parts });
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
  const { terminal, nowMs } = context;
  const client = await project.client();
  // Two starts at once follow one run.
  const runId = await project.stack.inTurn(async () => await chooseRun(started, client));
  let say: (text: string) => void = (text) => terminal.line(text);
  const keeper = keepWorkerAlive({
    stack: project.stack,
    first: stack.worker,
    say: (text) => say(text),
    onStart: started.parts.onWorker,
  });
  const servers = keepServersAlive({ stack: project.stack, say: (text) => say(text) });
  try {
    const onTree = (sayAbove: (text: string) => void) => (say = sayAbove);
    const report = await Promise.race([
      followRun(runId, { client, terminal, nowMs, signal, onTree, notices: false }),
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

/** The run of the pipeline that is still open, else a new one. */
async function chooseRun({ context, stack, options }: Started, client: AnnealClient): Promise<string> {
  const { pipelines } = stack.build.manifest;
  const [first] = pipelines;
  if (!first)
    throw new AnnealError(
      'UnknownPipeline',
      'The project has no pipeline. Export one, made with definePipeline, from the module that anneal.yaml names under "pipelines".',
    );
  const pipeline = options.pipeline === undefined ? first : findPipeline(pipelines, options.pipeline);
  for (const state of ['running', 'waiting-for-approval', 'queued'] as const) {
    const [open] = await client.list({ pipeline: pipeline.name, state, limit: 1 });
    if (!open) continue;
    context.terminal.line(`Following ${open.runId}, which is still ${open.state}.`);
    return open.runId;
  }
  const { runId } = await client.startRun(pipeline.name);
  context.terminal.line(`Started ${runId}.`);
  return runId;
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
      `    npx anneal run ${report.pipeline}${param}${project} --wait`,
      `    npx anneal describe ${shellWord(report.runId)}${project}`,
      `    npx anneal logs ${shellWord(report.runId)}${project}`,
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
