import { stat } from 'node:fs/promises';

import type { AttemptPaths } from '../adapters/process-executor/attempt-directory.js';
import { readJson } from '../adapters/attempt-files/json-file.js';
import { watchDirectory } from '../adapters/attempt-files/watch-directory.js';
import type { AttemptSpec, StoppedBy, StopRequest } from '../adapters/process-executor/attempt-spec.js';

/** The attempt shall end. */
export interface Stop {
  readonly by: StoppedBy;
  readonly graceMs: number;
}

/** Whether, by whom, the attempt was asked to end. The first request counts. */
export interface StopRequests {
  /** Aborted by the first request. */
  readonly signal: AbortSignal;
  stop(): Stop | undefined;
  /** From now on an attempt that nobody claims is ended; until {@link endClaims}. */
  needClaims(): void;
  endClaims(): void;
  close(): void;
}

/** Watches for the `stop` file, SIGTERM and SIGINT, and for the lack of claims. */
export function watchStopRequests(spec: AttemptSpec, paths: AttemptPaths): StopRequests {
  const controller = new AbortController();
  let found: Stop | undefined;
  const request = (stop: Stop) => {
    found ??= stop;
    controller.abort();
  };
  const graceMs = spec.request.stopGraceMs;
  const onSignal = () => request({ by: 'signal', graceMs });
  const look = () => {
    // A file that cannot be read yet is read at the next look.
    readJson<StopRequest>(paths.stop).then(
      (asked) => asked && request({ by: 'request', graceMs: asked.graceMs }),
      () => undefined,
    );
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  const watcher = watchDirectory(paths.directory, (name) => {
    if (name === 'stop') look();
  });
  const poll = setInterval(look, POLL_MS);
  look();
  const claims = watchClaims(paths, { unclaimedMs: spec.unclaimedMs }, () =>
    request({ by: 'unclaimed', graceMs }),
  );
  return {
    signal: controller.signal,
    stop: () => found,
    needClaims: claims.start,
    endClaims: claims.end,
    close: () => {
      claims.end();
      clearInterval(poll);
      watcher.close();
      process.off('SIGTERM', onSignal);
      process.off('SIGINT', onSignal);
    },
  };
}

const POLL_MS = 500;
const CLAIM_POLL_MS = 10_000;

/** How long an attempt may be unclaimed, by which clock: the process's own if none is given. */
export interface ClaimLimit {
  readonly unclaimedMs: number;
  readonly nowMs?: () => number;
}

/**
 * Calls back when the claim has not changed for the time. Only time between looks counts, two intervals of each at most: while a laptop
 * sleeps nobody can claim, and some systems' clocks go on.
 */
export function watchClaims(
  paths: Pick<AttemptPaths, 'claimed'>,
  { unclaimedMs, nowMs = () => performance.now() }: ClaimLimit,
  onUnclaimed: () => void,
): { start(): void; end(): void } {
  const everyMs = Math.min(CLAIM_POLL_MS, unclaimedMs / 4);
  let timer: NodeJS.Timeout | undefined;
  let seen = { mtimeMs: 0, unclaimedForMs: 0 };
  let lookedAtMs = 0;
  const look = async () => {
    const { mtimeMs } = await stat(paths.claimed).catch(() => ({ mtimeMs: 0 }));
    const now = nowMs();
    const unclaimedForMs = seen.unclaimedForMs + Math.min(now - lookedAtMs, 2 * everyMs);
    seen = { mtimeMs, unclaimedForMs: mtimeMs === seen.mtimeMs ? unclaimedForMs : 0 };
    lookedAtMs = now;
    if (timer !== undefined && seen.unclaimedForMs >= unclaimedMs) onUnclaimed();
  };
  return {
    start: () => {
      seen = { mtimeMs: 0, unclaimedForMs: 0 };
      lookedAtMs = nowMs();
      timer ??= setInterval(() => void look(), everyMs);
    },
    end: () => {
      clearInterval(timer);
      timer = undefined;
    },
  };
}
