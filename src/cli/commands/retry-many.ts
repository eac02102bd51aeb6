import {
  shellWord,
  type AnnealClient,
  type ListRunsOptions,
  type RetriedRun,
  type RetryOptions,
  type RunSummary,
} from '../../client/index.js';
import { AnnealError } from '../../core/failures.js';
import type { CommandContext, CommandOptions } from '../command.js';
import { renderTable } from '../plain-table.js';
import { EXIT, EXIT_INTERRUPTED } from '../report-error.js';
import { retriedText } from '../retried-text.js';
import { paintState } from '../run-text.js';
import { readLimit, readState } from './list.js';

/**
 * `anneal retry --state failed`: shows the runs that nobody has taken up yet, asks, and takes up exactly those that were shown. Without a terminal
 * it only shows them, with the command that takes up these.
 */
export async function retryMany(
  context: CommandContext,
  client: AnnealClient,
  { options, how }: { readonly options: CommandOptions; readonly how: RetryOptions },
): Promise<number> {
  const { terminal, ask } = context;
  const which = readWhich(options);
  const asOfMs = readAsOf(options.asOf);
  const shown = await look(client, which, asOfMs);
  if (options.yes === true)
    return await takeUp(context, client, { which, how, shown, since: asOfMs !== undefined });
  if (ask === undefined || shown.runs.length === 0) {
    const document = { runs: shown.runs, started: [], ...(shown.asOf && { asOf: shown.asOf }) };
    terminal.show(document, () => preview(shown, options, terminal.colors));
    return EXIT.ok;
  }
  terminal.line(preview(shown, undefined, terminal.colors));
  return await context.interruptible(async (signal) => {
    if (await ask(`Take up ${runCount(shown.runs.length)}? [y/N] `, signal))
      return await takeUp(context, client, { which, how, shown, since: true });
    terminal.line('Nothing was started.');
    return signal.aborted ? EXIT_INTERRUPTED : EXIT.ok;
  });
}

type Which = Pick<ListRunsOptions, 'state' | 'pipeline'> & { readonly limit: number };

function readWhich({ state, pipeline, limit }: CommandOptions): Which {
  if (state === undefined)
    throw new AnnealError(
      'InvalidCommand',
      'Name a run, or say which runs: anneal retry --state failed [--pipeline NAME] [--limit N].',
    );
  return {
    state: readState(state),
    limit: readLimit(limit),
    ...(pipeline === undefined ? {} : { pipeline }),
  };
}

function readAsOf(text: string | undefined): number | undefined {
  const ms = text === undefined ? 0 : Date.parse(text);
  if (Number.isNaN(ms))
    throw new AnnealError(
      'InvalidCommand',
      `--as-of is "${text ?? ''}"; it must be the time that the list was shown with.`,
    );
  return text === undefined ? undefined : ms;
}

/** A look at the runs in question. */
interface Shown {
  readonly runs: readonly RunSummary[];
  /** When the last of them ended: a later look with it finds the same ones. */
  readonly asOf?: string;
  /** Those that another run has taken up after `asOf`, with that run. */
  readonly taken: ReadonlyMap<string, string>;
  /** There may be more than the limit. */
  readonly more: boolean;
}

async function look(client: AnnealClient, which: Which, asOfMs: number | undefined): Promise<Shown> {
  const found = await client.list({ ...which, ...(asOfMs === undefined ? {} : { endedByMs: asOfMs }) });
  const retries = await readRetries(client, found);
  const lastMs = asOfMs ?? Math.max(...found.map(({ endedAtMs = 0 }) => endedAtMs));
  const taken = new Map(
    [...retries].flatMap(([runId, by]) =>
      asOfMs !== undefined && by.startedAtMs > asOfMs ? [[runId, by.runId] as const] : [],
    ),
  );
  return {
    runs: found.filter(({ runId }) => !retries.has(runId)),
    ...(lastMs > 0 ? { asOf: new Date(lastMs).toISOString() } : {}),
    taken,
    more: found.length >= which.limit,
  };
}

/** Which of them were taken up by another run already, however that goes, and by which. */
async function readRetries(
  client: AnnealClient,
  found: readonly RunSummary[],
): Promise<ReadonlyMap<string, RunSummary>> {
  if (found.length === 0) return new Map();
  const startedFromMs = Math.min(...found.map(({ startedAtMs }) => startedAtMs));
  const later = await client.list({ startedFromMs, limit: Infinity });
  const asked = new Set(found.map(({ runId }) => runId));
  return new Map(
    later.flatMap((run) =>
      run.retryOf !== undefined && asked.has(run.retryOf) ? [[run.retryOf, run] as const] : [],
    ),
  );
}

/** What is to be taken up. */
interface Taking {
  readonly which: Which;
  readonly how: RetryOptions;
  readonly shown: Shown;
  /** Time has passed since they were shown: what changed meanwhile is said. */
  readonly since: boolean;
}

async function takeUp(
  { terminal }: CommandContext,
  client: AnnealClient,
  { which, how, shown, since }: Taking,
): Promise<number> {
  const now = since ? await readRetries(client, shown.runs) : new Map<string, RunSummary>();
  const taken = new Map([...shown.taken, ...[...now].map(([runId, by]) => [runId, by.runId] as const)]);
  const started: RetriedRun[] = [];
  const refused: { readonly runId: string; readonly why: string }[] = [];
  for (const { runId } of shown.runs.filter((run) => !taken.has(run.runId)))
    try {
      started.push(await client.retry(runId, how));
    } catch (error) {
      if (!(error instanceof AnnealError)) throw error;
      refused.push({ runId, why: error.message });
    }
  const later = since ? await readLater(client, which, { shown, started }) : [];
  const leftAlone = [...taken].map(([runId, by]) => ({ runId, takenUpBy: by }));
  terminal.show({ started, refused, leftAlone, later }, () =>
    [
      ...started.map((run) => retriedText(run, terminal.colors)),
      ...refused.map(({ why }) => why),
      ...leftAlone.map((one) => `${one.runId} was taken up by ${one.takenUpBy} meanwhile and is left alone.`),
      ...(later.length === 0
        ? []
        : [
            `Since these were shown ${runCount(later.length)} more ended as ${which.state ?? ''} and ${later.length === 1 ? 'is' : 'are'} left alone: ${later.join(', ')}.`,
          ]),
      ...(started.length + refused.length + leftAlone.length + later.length === 0 ? ['No such runs.'] : []),
    ].join('\n'),
  );
  return refused.length === 0 ? EXIT.ok : EXIT.failed;
}

/** Runs that came into question after the list was shown; not those that this command started, should they have ended already. */
async function readLater(
  client: AnnealClient,
  which: Which,
  { shown, started }: { readonly shown: Shown; readonly started: readonly RetriedRun[] },
): Promise<string[]> {
  if (shown.asOf === undefined) return [];
  const asOfMs = Date.parse(shown.asOf);
  const known = new Set([...shown.runs, ...started].map(({ runId }) => runId));
  return (await client.list(which)).flatMap(({ runId, endedAtMs = 0 }) =>
    endedAtMs > asOfMs && !known.has(runId) ? [runId] : [],
  );
}

/** @param options of the command, where the one that takes up these is to be named. */
function preview(
  { runs, asOf, more }: Shown,
  options: CommandOptions | undefined,
  colors: CommandContext['terminal']['colors'],
): string {
  if (runs.length === 0) return 'No such runs.';
  const rows = runs.map(({ runId, pipeline, state, startedAtMs }) => [
    runId,
    pipeline,
    paintState(state, colors),
    new Date(startedAtMs).toISOString().slice(0, 19).replace('T', ' '),
  ]);
  const table = renderTable(['RUN', 'PIPELINE', 'STATE', 'STARTED'], rows);
  const rest = more ? `\nThere may be more: these are of the last ones, up to --limit.` : '';
  if (options === undefined) return `${table}${rest}\n`;
  return `${table}${rest}\n\nNothing was started. Take up exactly ${runs.length === 1 ? 'this one' : `these ${runs.length}`} with: ${commandFor(options, asOf)}`;
}

function commandFor(options: CommandOptions, asOf: string | undefined): string {
  const { state, pipeline, limit, from, code, keepApprovals, budget, sign, key } = options;
  const given = Object.entries({ state, pipeline, limit, from, code, budget, key }).flatMap(
    ([name, value]) => (value === undefined ? [] : [`--${name} ${shellWord(value)}`]),
  );
  const flags = [
    ...(keepApprovals === true ? ['--keep-approvals'] : []),
    ...(sign === true ? ['--sign'] : []),
  ];
  return [
    'anneal retry',
    ...given,
    ...flags,
    ...(asOf === undefined ? [] : [`--as-of ${asOf}`]),
    '--yes',
  ].join(' ');
}

function runCount(count: number): string {
  return count === 1 ? '1 run' : `${count} runs`;
}
