import { uptime } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';

import type { EndOptions } from '../../activities/ports/executor.js';
import type { ArtifactStore } from '../../core/artifact-store.js';
import { storeKeys } from '../../core/artifact-store.js';
import type { AttemptOutcome } from '../../core/attempt.js';
import type { FailureCode } from '../../core/failures.js';
import { hasErrorCode } from '../file-store/store-errors.js';
import type { ProcessIdentity } from '../process-identity.js';
import { endProcess, isSameProcess, readGroupMembers, readProcessIdentity } from '../process-identity.js';
import { readAttemptProcesses } from './attempt-processes.js';
import type { AttemptPaths } from './attempt-directory.js';
import { attemptPaths, removeAttemptDirectory, removeDamagedDirectory } from './attempt-directory.js';
import { readJson, writeJson } from '../attempt-files/json-file.js';
import type { AttemptSpec, CommandRecord, StopRequest } from './attempt-spec.js';
import { readAttemptState } from './attempt-state.js';
import { systemCgroupFiles } from './cgroup-files.js';
import { createCheckpointSync } from '../attempt-files/checkpoint-sync.js';
import { readLogTail } from '../attempt-files/log-tail.js';
import type { MemoryGroup } from './memory-group.js';
import { removeMemoryGroup } from './memory-group.js';
import type { AttemptPlace } from '../attempt-files/stored-outcome.js';
import { readStoredOutcome, storeFailure } from '../attempt-files/stored-outcome.js';

export interface EndDeps {
  readonly store: ArtifactStore;
  readonly attemptsDir: string;
  readonly clock: { nowMs(): number };
}

/** In the place of a supervisor: no process has this identity, so whoever takes over ends nobody. */
const NOBODY: ProcessIdentity = { pid: 0, startedAt: 'ended' };

/** An attempt whose directory is there says itself to which execution it belongs. */
export type EndAttemptOptions = Pick<EndOptions, 'graceMs'> & Partial<EndOptions>;

/**
 * Ends an attempt: asks its supervisor, and takes over from one that does not answer. Resolves when no process of it is left; how it
 * ended is in the store and its directory is gone. One that is still being prepared does not start any more.
 */
export async function endAttempt(deps: EndDeps, name: string, options: EndAttemptOptions): Promise<void> {
  const paths = attemptPaths(deps.attemptsDir, name);
  let state = await readAttemptState(paths);
  if (state.kind === 'absent') {
    await refuseStart(deps, name, options);
    // A directory that was made before the refusal was recorded is seen now; who makes one later reads the record.
    state = await readAttemptState(paths);
  }
  if (state.kind === 'absent') return await removeDamagedDirectory(deps.attemptsDir, name);
  const request: StopRequest = { graceMs: options.graceMs };
  let taken: boolean;
  try {
    await writeJson(paths.stop, request);
    // A supervisor that is being started now finds the place taken and leaves.
    taken =
      state.kind === 'unsupervised' &&
      (await writeJson(paths.supervisor, NOBODY, { ifAbsent: true })) === 'exists';
  } catch (error) {
    if (!hasErrorCode(error, 'ENOENT')) throw error;
    taken = true;
  }
  if (taken) return await endAttempt(deps, name, options);
  if (
    state.kind !== 'unsupervised' &&
    !(await waitUntil(async () => !(await isSameProcess(state.supervisor)), options.graceMs + SUPERVISOR_MS))
  ) {
    await endProcess(state.supervisor, { graceMs: 0 });
  }
  await closeAttempt(
    deps,
    { spec: state.spec, paths },
    { code: 'AttemptKilled', message: `Step "${state.spec.request.step}" was stopped on request.` },
  );
}

/** Records that the attempt was stopped, unless the store knows its end. */
async function refuseStart(
  { store, clock }: EndDeps,
  name: string,
  { executionId }: EndAttemptOptions,
): Promise<void> {
  if (executionId === undefined) return;
  const place = { executionId, name };
  if ((await readStoredOutcome(store, place)) !== undefined) return;
  const now = clock.nowMs();
  await storeFailure(store, place, {
    kind: 'failed',
    attemptName: name,
    code: 'AttemptKilled',
    message: `Attempt ${name} was stopped on request before it began.`,
    logTail: [],
    startedAtMs: now,
    endedAtMs: now,
  });
}

/**
 * Closes an attempt whose supervisor is gone: ends what is left of its command, saves what can be saved and records the outcome. A
 * manifest in the store counts before everything else; `otherwise` is what the attempt is called if nothing says how it ended.
 */
export async function closeAttempt(
  deps: EndDeps,
  attempt: ClosingAttempt,
  otherwise: OtherwiseCalled,
): Promise<AttemptOutcome> {
  try {
    return await closeAlone(deps, attempt, otherwise);
  } catch (error) {
    // Somebody else closed it meanwhile: how it ended was recorded before its directory went.
    if (!hasErrorCode(error, 'ENOENT') || (await readAttemptState(attempt.paths)).kind !== 'absent')
      throw error;
    const place = { executionId: attempt.spec.request.executionId, name: attempt.spec.name };
    const stored = await readStoredOutcome(deps.store, place);
    if (stored === undefined) throw error;
    return stored;
  }
}

interface ClosingAttempt {
  readonly spec: AttemptSpec;
  readonly paths: AttemptPaths;
}

interface OtherwiseCalled {
  readonly code: FailureCode;
  readonly message: string;
}

async function closeAlone(
  deps: EndDeps,
  { spec, paths }: ClosingAttempt,
  otherwise: OtherwiseCalled,
): Promise<AttemptOutcome> {
  const { store, attemptsDir, clock } = deps;
  const place = { executionId: spec.request.executionId, name: spec.name };
  const wasAlive = await endOrphans(paths, spec.request.stopGraceMs, clock);
  const group = await readJson<MemoryGroup>(paths.memoryGroup);
  if (group) await removeMemoryGroup(systemCgroupFiles, group);
  const salvage = async () => {
    const sync = createCheckpointSync({ store, spec, paths, clock });
    await sync.markRecorded();
    await sync.sync({ onlyRenamed: !wasAlive });
  };
  const state = await readAttemptState(paths);
  if (state.kind === 'ended') {
    const { outcome, stopped } = state.result;
    // A supervisor that was stopped may have abandoned its uploads.
    if (stopped !== undefined) await salvage();
    if (outcome.kind === 'failed') await keepLog(store, place, paths);
    await storeFailure(store, place, outcome);
    const final = (stopped === undefined ? undefined : await readStoredOutcome(store, place)) ?? outcome;
    await removeAttemptDirectory(attemptsDir, spec.name);
    return final;
  }
  const stored = await readStoredOutcome(store, place);
  if (stored === undefined && state.kind !== 'absent') {
    await salvage();
    await keepLog(store, place, paths);
    const times = { startedAtMs: spec.preparedAtMs, endedAtMs: clock.nowMs() };
    await storeFailure(store, place, {
      kind: 'failed',
      attemptName: spec.name,
      ...otherwise,
      logTail: await readLogTail(paths.log),
      ...times,
    });
  }
  const outcome = stored ?? (await readStoredOutcome(store, place));
  if (outcome === undefined)
    throw new Error(
      `The directory of attempt ${spec.name} was removed, and the store does not say how it ended.`,
    );
  await removeAttemptDirectory(attemptsDir, spec.name);
  return outcome;
}

/** Resolves with true when the check holds, or with false after the time. */
export async function waitUntil(check: () => Promise<boolean>, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    if (await check()) return true;
    if (performance.now() > deadline) return false;
    await delay(POLL_MS);
  }
}

async function keepLog(
  store: ArtifactStore,
  { executionId, name }: AttemptPlace,
  paths: AttemptPaths,
): Promise<void> {
  const key = storeKeys.log(executionId, name);
  if ((await store.stat(key)) === undefined) await store.putFile(key, paths.log);
}

const POLL_MS = 50;
/** A supervisor abandons uploads 5 s after the grace; it is waited for a little longer. */
const SUPERVISOR_MS = 10_000;
/** How far the clock may have been set since the command began. */
const CLOCK_SLACK_MS = 60_000;

/**
 * Ends the command of a supervisor that is gone, by its recorded identity, every process of its group and those that left it.
 * @returns whether any of them was still alive.
 */
async function endOrphans(
  paths: AttemptPaths,
  graceMs: number,
  clock: { nowMs(): number },
): Promise<boolean> {
  const record = await readJson<CommandRecord>(paths.command);
  if (record === undefined) return false;
  const wasAlive = (await endProcess(record.identity, { graceMs, group: true })) !== 'gone';
  const left = await readLeftovers(paths, record, clock);
  await Promise.all(left.map(async (one) => await endProcess(one, { graceMs })));
  return wasAlive || left.length > 0;
}

async function readLeftovers(
  paths: AttemptPaths,
  record: CommandRecord,
  clock: { nowMs(): number },
): Promise<ProcessIdentity[]> {
  const own = await readAttemptProcesses(paths);
  const bootedAtMs = clock.nowMs() - uptime() * 1_000;
  // After a restart of the machine the group's number may be anybody's; so it may when a new process has it.
  if (
    Math.abs(bootedAtMs - record.bootedAtMs) > CLOCK_SLACK_MS ||
    (await readProcessIdentity(record.identity.pid)) !== undefined
  )
    return own;
  const members = await readGroupMembers(record.identity.pid);
  return [...own, ...members.filter(({ pid }) => !own.some((one) => one.pid === pid))];
}
