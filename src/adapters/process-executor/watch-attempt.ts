import type { ChildProcess } from 'node:child_process';
import { utimes } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

import type { AttemptWatch } from '../../activities/ports/executor.js';
import type { AttemptPaths } from './attempt-directory.js';
import { readJson } from '../attempt-files/json-file.js';
import type { AttemptSpec, AttemptStatus } from './attempt-spec.js';
import type { AttemptState } from './attempt-state.js';
import { readAttemptState } from './attempt-state.js';
import { createMetricsTail } from '../attempt-files/metrics-tail.js';
import { watchDirectory } from '../attempt-files/watch-directory.js';

/** What is watched. */
export interface Watching {
  readonly paths: AttemptPaths;
  readonly spec: AttemptSpec;
  readonly watch: AttemptWatch;
  readonly adopted: boolean;
  /** The supervisor, when it was started here: its end is noticed at once. */
  readonly child?: ChildProcess;
  readonly clock: { nowMs(): number };
}

/**
 * Claims an attempt, reports its progress and its metrics until it is no longer running, and says what became of it.
 * @throws the reason of whichever of the two signals is aborted first.
 */
export async function watchAttempt(watching: Watching): Promise<AttemptState> {
  const { paths, spec } = watching;
  const wake = createWaker(watching);
  const readMetrics = createMetricsTail(paths.metricsStream, spec.preparedAtMs);
  const report = createProgressReport(watching);
  const claim = createClaim(watching);
  try {
    for (;;) {
      throwIfAborted(watching.watch);
      const state = await readAttemptState(paths);
      await claim();
      await report();
      for (let points = await readMetrics(); points.length > 0; points = await readMetrics())
        watching.watch.onMetrics(points);
      if (state.kind !== 'running') return state;
      await wake.next();
    }
  } finally {
    wake.close();
  }
}

/** Says that somebody waits for the attempt: its supervisor ends it otherwise. */
export async function claimAttempt(paths: AttemptPaths, nowMs: number): Promise<void> {
  // The directory may have been removed by somebody who saw the end first.
  await utimes(paths.claimed, nowMs / 1_000, nowMs / 1_000).catch(() => undefined);
}

/** Throws the reason when the attempt is cancelled or the worker leaves. */
export function throwIfAborted({ cancelled, detached }: AttemptWatch): void {
  cancelled.throwIfAborted();
  detached.throwIfAborted();
}

const POLL_MS = 500;
/** Many events in a row, such as a stream of metrics, are looked at together. */
const SETTLE_MS = 20;
const CLAIM_MS = 30_000;

function createWaker({ paths, watch: { cancelled, detached }, child }: Watching): {
  next(): Promise<void>;
  close(): void;
} {
  let waker = new AbortController();
  const wake = () => waker.abort();
  const watcher = watchDirectory(paths.directory, wake);
  cancelled.addEventListener('abort', wake);
  detached.addEventListener('abort', wake);
  child?.on('exit', wake);
  return {
    next: async () => {
      await delay(POLL_MS, undefined, { signal: waker.signal }).catch(() => undefined);
      waker = new AbortController();
      if (!cancelled.aborted && !detached.aborted) await delay(SETTLE_MS);
    },
    close: () => {
      watcher.close();
      cancelled.removeEventListener('abort', wake);
      detached.removeEventListener('abort', wake);
      child?.off('exit', wake);
    },
  };
}

function createProgressReport({ paths, watch: { onProgress }, adopted }: Watching): () => Promise<void> {
  let seen: AttemptStatus['phase'] | undefined;
  return async () => {
    const status = await readJson<AttemptStatus>(paths.status);
    if (status === undefined || status.phase === seen) return;
    seen = status.phase;
    onProgress({ ...status, adopted });
  };
}

function createClaim({ paths, spec, clock }: Watching): () => Promise<void> {
  let claimedAt = -Infinity;
  const every = Math.min(CLAIM_MS, spec.unclaimedMs / 4);
  return async () => {
    if (performance.now() - claimedAt < every) return;
    claimedAt = performance.now();
    await claimAttempt(paths, clock.nowMs());
  };
}
