import { setTimeout as wait } from 'node:timers/promises';
import type { AnnealClient, Overview, PoolQueue, RunSummary } from '../../client/index.js';
import { formatDuration } from '../../core/duration.js';
import { AnnealError } from '../../core/failures.js';
import type { Command, CommandContext } from '../command.js';
import type { Project } from '../context.js';
import { renderTable } from '../plain-table.js';
import { EXIT } from '../report-error.js';
import { paintState, visible } from '../run-text.js';

const REFRESH_MS = 2_000;

/** `anneal top`: pools, open runs, what is stuck and what waits for people; on a terminal again and again until Ctrl-C, else once. */
export const top: Command = async (context) => {
  const project = await context.openProject();
  const { terminal } = context;
  const look = await createLook(project, context.env);
  if (!terminal.interactive) {
    const seen = await look();
    terminal.show(seen, () => render(seen, context).join('\n'));
    return EXIT.ok;
  }
  await context.interruptible(async (signal) => {
    let shown: readonly string[] | undefined;
    while (!signal.aborted) {
      const last = shown;
      // A wrong address is told at once.
      shown = await look().then(
        (seen) => render(seen, context),
        (error: unknown) => renderOutage(error, last, context),
      );
      const lines = shown.map((line) => terminal.asCalled(line));
      terminal.write(`${CLEAR}${lines.slice(0, Math.max(4, terminal.rows - 1)).join('\n')}\n`);
      await wait(REFRESH_MS, undefined, { signal }).catch(() => undefined);
    }
  });
  return EXIT.ok;
};

/** The screen, and the place of the cursor. */
const CLEAR = '\u001b[H\u001b[2J';

async function createLook(project: Project, env: CommandContext['env']): Promise<() => Promise<Overview>> {
  const [{ poolTaskQueue }, { loadHostName }] = await Promise.all([
    import('../../config/host-pools.js'),
    import('../../workers/host-name.js'),
  ]);
  const { config, paths } = project;
  const host = { name: await loadHostName(paths.stateDir, env) };
  const queues: PoolQueue[] = Object.keys(config.pools).map((pool) => ({
    pool,
    taskQueue: poolTaskQueue(config, pool, host),
  }));
  const client: AnnealClient = await project.client();
  return async () => await client.overview(queues);
}

/** A server that is away for a while does not end the watch: what was seen last stays, under what keeps it from being seen now. */
function renderOutage(
  error: unknown,
  last: readonly string[] | undefined,
  { terminal }: CommandContext,
): string[] {
  if (last === undefined || !(error instanceof AnnealError) || error.code !== 'ServerUnreachable')
    throw error;
  const before = last[0]?.startsWith(AWAY) === true ? last.slice(2) : last;
  return [`${AWAY}${terminal.colors.red(error.message)}`, '', ...before];
}

const AWAY = 'As it was last seen. ';
const RUNS_SHOWN = 20;

function render(seen: Overview, { terminal, nowMs }: CommandContext): string[] {
  const { colors } = terminal;
  const pools = seen.pools.map((pool) => [
    visible(pool.host === undefined ? pool.pool : `${pool.pool} on ${pool.host}`),
    `${pool.running}${seen.poolsHaveMore ? '+' : ''}`,
    pool.queued === 0 ? '0' : colors.yellow(String(pool.queued)),
    pool.queued === 0 ? '' : formatDuration(pool.oldestWaitMs),
    [
      ...(pool.waiting === 0 ? [] : [`${pool.waiting} of them wait for a GPU or a node`]),
      ...(pool.served ? [] : [colors.red('no worker asks for work')]),
    ].join(', '),
  ]);
  const states = Object.entries(seen.counts).map(([state, count]) => `${count} ${state}`);
  const total = `${seen.runs.length}${seen.more ? '+' : ''} open runs${states.length === 0 ? '' : `: ${states.join(', ')}`}`;
  return [
    renderTable(['POOL', 'RUNNING', 'QUEUED', 'OLDEST', ''], pools),
    '',
    total,
    ...seen.stuck.map((run) => colors.red(`STUCK ${visible(run.runId)}: ${run.stuck ?? ''}`)),
    ...seen.approvals.map(
      ({ runId, startedAtMs }) =>
        `${visible(runId)} waits for a decision (began ${formatDuration(nowMs() - startedAtMs)} ago); see: anneal approvals`,
    ),
    ...(seen.runs.length === 0 ? [] : ['', renderRuns(seen.runs, { colors, nowMs: nowMs() })]),
  ].flatMap((text) => text.split('\n'));
}

function renderRuns(
  runs: readonly RunSummary[],
  { colors, nowMs }: { readonly colors: CommandContext['terminal']['colors']; readonly nowMs: number },
): string {
  const rows = runs
    .slice(0, RUNS_SHOWN)
    .map(({ runId, pipeline, state, startedAtMs }) => [
      visible(runId).slice(0, 64),
      pipeline,
      paintState(state, colors),
      formatDuration(nowMs - startedAtMs),
    ]);
  return renderTable(['RUN', 'PIPELINE', 'STATE', 'FOR'], rows);
}
