import type { AnnealClient, RetriedRun, RetryOptions, RunSummary } from '../../client/index.js';
import { shellWord } from '../../client/index.js';
import { AnnealError } from '../../core/failures.js';
import type { Command, CommandContext, CommandOptions } from '../command.js';
import type { Project } from '../context.js';
import { findBuild, shortBuild } from '../deployment-parts.js';
import { followRun, showOutcome } from '../follow-run.js';
import { renderTable } from '../plain-table.js';
import { EXIT, EXIT_INTERRUPTED } from '../report-error.js';
import { paintState } from '../run-text.js';
import { findStartingPerson } from '../starting-person.js';
import { warnOfWorker } from '../warn-of-worker.js';
import { readBudget } from './steer.js';
import { readLimit, readState } from './list.js';

/** `anneal retry RUN`, or `anneal retry --state failed --yes`: new runs that take up the finished work of ended ones. */
export const retry: Command = async (context, [runId], options) => {
  const project = await context.openProject();
  const client = await project.client();
  const how = {
    ...readHow(options),
    ...(options.budget === undefined ? {} : { budget: readBudget(options.budget) }),
    ...(await findStartingPerson(context, project.config, options)),
  };
  await warnOfWorker(project, context.terminal);
  if (runId === undefined) return await retryMany(context, client, { options, how });
  const started = await client.retry(runId, {
    ...how,
    ...(options.id === undefined ? {} : { runId: options.id }),
  });
  const { terminal, nowMs } = context;
  if (started.pinnedTo !== undefined)
    await sayPinned(project, terminal, { ...started, build: started.pinnedTo });
  if (options.wait !== true) {
    terminal.show(started, () => said(started, terminal.colors));
    return EXIT.ok;
  }
  terminal.line(said(started, terminal.colors));
  const report = await context.interruptible(
    async (signal) => await followRun(started.runId, { client, terminal, nowMs, signal }),
  );
  if (report) return showOutcome(report, { terminal, bases: await project.links() });
  terminal.show({ ...started, detached: true }, () => `\nStopped following; ${started.runId} goes on.`);
  return EXIT_INTERRUPTED;
};

/** A run on an older build waits for a worker of it: said, with the way out. */
async function sayPinned(
  project: Project,
  terminal: CommandContext['terminal'],
  { runId, retryOf, build }: { readonly runId: string; readonly retryOf: string; readonly build: string },
): Promise<void> {
  const inStore = project.config.builds === 'store';
  if (!inStore && (await project.stack.readCurrent()) === build) return;
  const isHere = await findBuild(project, build).then(
    () => true,
    () => false,
  );
  if (inStore && isHere) return;
  const other = `Or run it with the current code: anneal cancel ${shellWord(runId)}, then anneal retry ${shellWord(retryOf)} --code new`;
  terminal.error(
    terminal.colors.yellow(
      isHere
        ? `It waits for a worker of build ${shortBuild(build)}, which a worker that reads this machine's builds hosts within some seconds.`
        : `It waits for a worker of build ${shortBuild(build)}, which is not ${inStore ? 'in the store' : 'on this machine'}: it begins when a worker runs where that build is. ${other}`,
    ),
  );
}

function readHow({ from, code, keepApprovals }: CommandOptions): RetryOptions {
  if (code !== undefined && code !== 'same' && code !== 'new')
    throw new AnnealError('InvalidCommand', `--code is "${code}"; it must be same or new.`);
  return {
    ...(from === undefined ? {} : { from }),
    ...(code === undefined ? {} : { code }),
    ...(keepApprovals === true ? { keepApprovals } : {}),
  };
}

async function retryMany(
  { terminal }: CommandContext,
  client: AnnealClient,
  { options, how }: { readonly options: CommandOptions; readonly how: RetryOptions },
): Promise<number> {
  if (options.state === undefined)
    throw new AnnealError(
      'InvalidCommand',
      'Name a run, or say which runs: anneal retry --state failed [--pipeline NAME] [--limit N].',
    );
  const found = await client.list({
    state: readState(options.state),
    limit: readLimit(options.limit),
    ...(options.pipeline === undefined ? {} : { pipeline: options.pipeline }),
  });
  const retried = await readRetried(client, found);
  const runs = found.filter(({ runId }) => !retried.has(runId));
  if (options.yes !== true) {
    terminal.show({ runs, started: [] }, () => preview(runs, terminal.colors));
    return EXIT.ok;
  }
  const started: RetriedRun[] = [];
  const refused: { readonly runId: string; readonly why: string }[] = [];
  for (const { runId } of runs) {
    try {
      started.push(await client.retry(runId, how));
    } catch (error) {
      if (!(error instanceof AnnealError)) throw error;
      refused.push({ runId, why: error.message });
    }
  }
  terminal.show({ started, refused }, () =>
    [...started.map((run) => said(run, terminal.colors)), ...refused.map(({ why }) => why)].join('\n'),
  );
  return refused.length === 0 ? EXIT.ok : EXIT.failed;
}

/** Which of them were taken up by another run already, however that goes. */
async function readRetried(client: AnnealClient, found: readonly RunSummary[]): Promise<Set<string>> {
  if (found.length === 0) return new Set();
  const startedFromMs = Math.min(...found.map(({ startedAtMs }) => startedAtMs));
  const later = await client.list({ startedFromMs, limit: Infinity });
  return new Set(later.flatMap(({ retryOf }) => retryOf ?? []));
}

function preview(runs: readonly RunSummary[], colors: CommandContext['terminal']['colors']): string {
  if (runs.length === 0) return 'No such runs.';
  const rows = runs.map(({ runId, pipeline, state, startedAtMs }) => [
    runId,
    pipeline,
    paintState(state, colors),
    new Date(startedAtMs).toISOString().slice(0, 19).replace('T', ' '),
  ]);
  return `${renderTable(['RUN', 'PIPELINE', 'STATE', 'STARTED'], rows)}\n\nNothing was started. The same command with --yes takes up these ${runs.length}.`;
}

function said({ runId, retryOf, adopted }: RetriedRun, colors: CommandContext['terminal']['colors']): string {
  return `${colors.green('Started')} ${runId}, which takes up ${adopted} finished ${adopted === 1 ? 'call' : 'calls'} of ${retryOf}. Look: anneal describe ${shellWord(runId)}`;
}
