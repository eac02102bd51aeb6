import { didYouMean } from '../../core/nearest-name.js';
import { formatCost } from '../../core/cost.js';
import { formatDuration } from '../../core/duration.js';
import { AnnealError } from '../../core/failures.js';
import type { RunState } from '../../core/run.js';
import type { RunSummary } from '../../client/index.js';
import type { Command, CommandContext } from '../command.js';
import { renderTable } from '../plain-table.js';
import { EXIT } from '../report-error.js';
import { paintState } from '../run-text.js';
import { warnOfWorker } from '../warn-of-worker.js';

const STATES: readonly RunState[] = [
  'queued',
  'running',
  'paused',
  'waiting-for-approval',
  'completed',
  'not-promoted',
  'failed',
  'cancelled',
  'terminated',
  'timed-out',
];

/** `anneal list`: the runs of the project, open ones first, then the newest. */
export const list: Command = async (context, _args, { pipeline, state, limit }) => {
  const query = {
    limit: readLimit(limit),
    ...(pipeline === undefined ? {} : { pipeline }),
    ...(state === undefined ? {} : { state: readState(state) }),
  };
  const project = await context.openProject();
  const client = await project.client();
  const runs = await client.list(query);
  await warnOfWorker(project, context.terminal);
  context.terminal.show(runs, () =>
    runs.length === 0 ? 'No runs. Start one with: anneal run PIPELINE' : renderRuns(runs, context),
  );
  return EXIT.ok;
};

/** `--limit`. @throws AnnealError InvalidCommand. */
export function readLimit(text = '20'): number {
  const limit = Number(text);
  if (Number.isInteger(limit) && limit >= 1 && limit <= 10_000) return limit;
  throw new AnnealError('InvalidCommand', `--limit is "${text}"; it must be a whole number from 1 to 10000.`);
}

/** `--state`. @throws AnnealError InvalidCommand with the nearest one. */
export function readState(text: string): RunState {
  const found = STATES.find((state) => state === text);
  if (found) return found;
  throw new AnnealError(
    'InvalidCommand',
    `--state is "${text}"; it must be one of ${STATES.join(', ')}.${didYouMean(text, STATES)}`,
  );
}

function renderRuns(runs: readonly RunSummary[], { terminal, nowMs }: CommandContext): string {
  const { colors } = terminal;
  const priced = runs.some(({ cost }) => cost !== undefined);
  const rows = runs.map((run) => {
    const state = run.stuck !== undefined ? colors.red('STUCK') : paintState(run.state, colors);
    const started = new Date(run.startedAtMs).toISOString().slice(0, 19).replace('T', ' ');
    const took = formatDuration((run.endedAtMs ?? nowMs()) - run.startedAtMs);
    const cost = run.cost === undefined ? '' : formatCost(run.cost);
    return [shorten(run.runId), run.pipeline, state, started, took, ...(priced ? [cost] : [])];
  });
  const head = ['RUN', 'PIPELINE', 'STATE', 'STARTED', 'TOOK', ...(priced ? ['COST'] : [])];
  const lines = [renderTable(head, rows)];
  for (const { runId, stuck } of runs) if (stuck !== undefined) lines.push(colors.red(`${runId}: ${stuck}`));
  return lines.join('\n');
}

/** One long id must not push the other columns off the screen; `--json` has it whole. */
function shorten(runId: string): string {
  return runId.length <= SHOWN_ID ? runId : `${runId.slice(0, SHOWN_ID - 1)}…`;
}

const SHOWN_ID = 64;
