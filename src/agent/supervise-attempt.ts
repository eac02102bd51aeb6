import { appendFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

import type { ExternalData } from '../adapters/external-data/create-external-data.js';
import { leaseGpus, releaseGpus } from '../adapters/gpu-leases.js';
import type { AttemptPaths } from '../adapters/process-executor/attempt-directory.js';
import { writeJson } from '../adapters/attempt-files/json-file.js';
import type { AttemptSpec, AttemptStatus } from '../adapters/process-executor/attempt-spec.js';
import { createCommandInbox } from '../adapters/process-executor/command-inbox.js';
import type { CgroupFiles } from '../adapters/process-executor/cgroup-files.js';
import { restoreCheckpoint } from '../adapters/attempt-files/checkpoint-store.js';
import type { CheckpointSync } from '../adapters/attempt-files/checkpoint-sync.js';
import { createCheckpointSync } from '../adapters/attempt-files/checkpoint-sync.js';
import { readLogTail } from '../adapters/attempt-files/log-tail.js';
import { outcomeOfManifest } from '../adapters/attempt-files/stored-outcome.js';
import type { ProcessIdentity } from '../adapters/process-identity.js';
import type { ArtifactStore } from '../core/artifact-store.js';
import type { AttemptMemory } from '../core/artifacts.js';
import type { AttemptSucceeded } from '../core/attempt.js';
import { buildOrigin } from '../core/lineage.js';
import { formatBytes } from '../core/quantity.js';
import type { AttemptFailure } from './attempt-failure.js';
import { failureOfError, withFullDisk } from './attempt-failure.js';
import { classifyEnd, stoppedFailure } from './classify-end.js';
import { collectOutputs } from './collect-outputs.js';
import { buildCommandEnvironment } from './command-environment.js';
import { buildCommandLine } from './command-line.js';
import { keepDelivering } from './deliver-commands.js';
import { limitMemory } from './limit-memory.js';
import type { MemoryUse } from './limit-memory.js';
import { prepareAttempt } from './prepare-attempt.js';
import { signalCommand } from './signal-command.js';
import { runCommand } from './run-command.js';
import type { CommandEnd } from './run-command.js';
import type { StopRequests } from './stop-requests.js';
import { keepSyncing } from './sync-while-running.js';
import { uploadAttempt, uploadLog } from './upload-attempt.js';

/** Everything that supervising one attempt needs. */
export interface SuperviseDeps {
  readonly store: ArtifactStore;
  /** Reads inputs that are not in the store. */
  readonly data: ExternalData;
  readonly spec: AttemptSpec;
  readonly paths: AttemptPaths;
  readonly stops: StopRequests;
  readonly self: ProcessIdentity;
  readonly env: NodeJS.ProcessEnv;
  readonly cgroups: CgroupFiles;
  readonly clock: { nowMs(): number };
}

/** Takes an attempt from its inputs to its manifest. Failures are values; what throws is not the command's doing. */
export async function superviseAttempt(deps: SuperviseDeps): Promise<AttemptSucceeded | AttemptFailure> {
  const { store, data, spec, paths, stops, clock } = deps;
  const startedAtMs = clock.nowMs();
  const sync = createCheckpointSync({ store, spec, paths, clock });
  await enter(deps, 'preparing');
  await prepareAttempt({ store, data }, spec, paths);
  await restore(deps, sync);
  const gpus = await waitForGpus(deps);
  try {
    const stop = stops.stop();
    if (stop !== undefined || gpus === undefined) return stoppedFailure(spec, stop?.by ?? 'request');
    const { end, use } = await runWithSync(deps, sync, gpus);
    const result = await finishAttempt(deps, { end, use, sync, startedAtMs }).catch((error: unknown) =>
      failureOfError(spec.request.step, error),
    );
    const memory = attemptMemory(use);
    return memory === undefined ? result : { ...result, memory };
  } finally {
    await releaseGpus(spec.gpu.leasesDir, gpus ?? []);
  }
}

interface Finishing {
  readonly end: CommandEnd;
  readonly use: MemoryUse | undefined;
  readonly sync: CheckpointSync;
  readonly startedAtMs: number;
}

/** Stores what the command left behind, and what it made if it succeeded. */
async function finishAttempt(
  deps: SuperviseDeps,
  { end, use, sync, startedAtMs }: Finishing,
): Promise<AttemptSucceeded | AttemptFailure> {
  const { store, spec, paths, clock } = deps;
  const memory = attemptMemory(use);
  await enter(deps, 'uploading');
  // Of what was killed while it wrote, nobody knows whether it is whole.
  await say(deps, await syncAtEnd(sync, end.exitCode !== undefined && !end.killed));
  await say(deps, killsSentence(use));
  const logTail = await readLogTail(paths.log);
  const failure = classifyEnd(spec, { end, logTail, ...(use && { memory: use }) });
  if (failure) return await withFullDisk(failure, paths.directory);
  const outputs = await collectOutputs(paths.outputs, spec.request.outputs);
  const { executionId } = spec.request;
  const { name } = spec;
  const origin = buildOrigin(spec.request, spec.runId);
  const storeLog = async () => await uploadLog({ store, executionId, name, paths });
  const upload = {
    store,
    executionId,
    name,
    origin,
    storeLog,
    outputs,
    memory,
    startedAtMs,
    nowMs: clock.nowMs,
  };
  return outcomeOfManifest(await uploadAttempt(upload));
}

const GPU_POLL_MS = 500;

async function enter({ paths, clock }: SuperviseDeps, phase: AttemptStatus['phase']): Promise<void> {
  const status: AttemptStatus = { phase, sinceMs: clock.nowMs() };
  await writeJson(paths.status, status);
}

/** A line of Anneal's own in the log of the step. */
async function say({ paths }: SuperviseDeps, line: string | undefined): Promise<void> {
  if (line !== undefined) await appendFile(paths.log, `anneal: ${line}\n`);
}

async function restore(deps: SuperviseDeps, sync: CheckpointSync): Promise<void> {
  const { store, spec, paths } = deps;
  if (spec.request.fresh === true) return;
  const restored = await restoreCheckpoint(store, spec.request, {
    directory: paths.checkpoints,
    staging: paths.temporary,
  });
  if (restored === undefined) return;
  await sync.markStored();
  await say(deps, `restored checkpoint "${restored.entry}" of ${restored.attempt}`);
}

/** @returns undefined when the attempt was stopped while it waited. */
async function waitForGpus(deps: SuperviseDeps): Promise<readonly string[] | undefined> {
  const { count: asked, devices, leasesDir } = deps.spec.gpu;
  const count = Math.min(asked, devices.length);
  if (asked > count) {
    const has = count === 0 ? 'none, running without' : `${count}, running with ${count}`;
    await say(deps, `asked for ${asked} GPU${asked === 1 ? '' : 's'}; this machine has ${has}`);
  }
  if (count === 0) return [];
  deps.stops.needClaims();
  const holder = { ...deps.self, commandFile: deps.paths.command };
  for (let queued = false; deps.stops.stop() === undefined; queued = true) {
    const leased = await leaseGpus({ leasesDir, devices }, count, holder);
    if (leased) return leased;
    if (!queued) await enter(deps, 'queued');
    await delay(GPU_POLL_MS, undefined, { signal: deps.stops.signal }).catch(() => undefined);
  }
  return undefined;
}

async function runWithSync(
  deps: SuperviseDeps,
  sync: CheckpointSync,
  gpus: readonly string[],
): Promise<{ readonly end: CommandEnd; readonly use: MemoryUse | undefined }> {
  const { spec, paths, stops, clock } = deps;
  const env = buildCommandEnvironment({ spec, paths }, deps.env, gpus);
  const command = await buildCommandLine(deps, env);
  const { timeoutMs, stopGraceMs } = spec.request;
  const memory = await limitMemory(deps.cgroups, spec, paths);
  if (memory?.limitBytes !== undefined)
    await say(deps, `memory is limited to ${formatBytes(memory.limitBytes)}`);
  await enter(deps, 'running');
  stops.needClaims();
  const syncing = keepSyncing(sync, paths.checkpoints);
  const delivering =
    spec.request.takesCommands === true
      ? await keepDelivering({
          inbox: createCommandInbox(paths),
          directory: paths.commands,
          tell: async (signal) => await signalCommand(paths.command, signal),
        })
      : undefined;
  let use: MemoryUse | undefined;
  try {
    const end = await runCommand({
      paths,
      ...command,
      env,
      stopGraceMs,
      stops,
      clock,
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
      ...(memory && { enter: memory.enter }),
    });
    use = await memory?.end();
    return { end, use };
  } finally {
    if (use === undefined) await memory?.end();
    stops.endClaims();
    await delivering?.end();
    await syncing.end();
  }
}

/** What the record of the attempt says; nothing when there is nothing to say. */
function attemptMemory(use: MemoryUse | undefined): AttemptMemory | undefined {
  if (use === undefined || (use.limitBytes === undefined && use.kills === 0)) return undefined;
  return {
    ...(use.limitBytes === undefined ? {} : { limitBytes: use.limitBytes }),
    ...(use.kills === 0 ? {} : { kills: use.kills }),
  };
}

function killsSentence(use: MemoryUse | undefined): string | undefined {
  if (use === undefined || use.kills === 0) return undefined;
  const what =
    use.kills === 1 ? 'a process of this attempt was' : `${use.kills} processes of this attempt were`;
  return `${what} killed for lack of memory`;
}

/** Checkpoints are a help, not a duty: a store that is away does not fail a step that succeeded. */
async function syncAtEnd(sync: CheckpointSync, settled: boolean): Promise<string | undefined> {
  try {
    await sync.sync({ settled });
    return undefined;
  } catch (error) {
    return `checkpoints could not be stored: ${error instanceof Error ? error.message : String(error)}`;
  }
}
