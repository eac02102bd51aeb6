import type { ClientDeps } from './client-deps.js';
import { readStatus, type RunReport } from './read-status.js';
import { isOpen } from './run-state.js';
import { classifyTemporalError } from './temporal-errors.js';

/** How a run is watched. */
export interface WatchOptions {
  /** Stops watching; the run goes on. Rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Time between two looks. Default 500. */
  readonly intervalMs?: number;
  /** Told why the run does not go on, once per reason. */
  readonly onNotice?: (notice: string) => void;
}

/** Outages that watching outlives before it gives up: Temporal may be restarted under a run. */
const PATIENCE_MS = 120_000;

/** The statuses of a run, one per look, until it has ended; the last one is how it ended. */
export async function* watchRun(
  deps: ClientDeps,
  runId: string,
  { signal, intervalMs = 500 }: WatchOptions = {},
): AsyncGenerator<RunReport> {
  let unreachableSinceMs: number | undefined;
  for (;;) {
    signal?.throwIfAborted();
    const report = await readStatus(deps, runId).catch((error: unknown) => {
      const nowMs = deps.clock.nowMs();
      unreachableSinceMs ??= nowMs;
      if (!isOutage(error) || nowMs - unreachableSinceMs > PATIENCE_MS) throw error;
      return undefined;
    });
    signal?.throwIfAborted();
    if (report) {
      unreachableSinceMs = undefined;
      yield report;
      if (!isOpen(report.state)) return;
    }
    await deps.clock.sleep(intervalMs, signal);
  }
}

/** Waits for a run's end. @throws AnnealError RunNotFound, ServerUnreachable; the signal's reason. */
export async function waitForRun(
  deps: ClientDeps,
  runId: string,
  options: WatchOptions = {},
): Promise<RunReport> {
  let notice: string | undefined;
  for await (const report of watchRun(deps, runId, options)) {
    if (!isOpen(report.state)) return report;
    if (report.notice !== undefined && report.notice !== notice) options.onNotice?.(report.notice);
    ({ notice } = report);
  }
  throw new Error(`Watching run "${runId}" ended before the run did.`);
}

function isOutage(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return code === 'ServerUnreachable' || classifyTemporalError(error) === 'unreachable';
}
