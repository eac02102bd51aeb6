import { createExternalData } from '../adapters/external-data/create-external-data.js';
import { hasErrorCode } from '../adapters/file-store/store-errors.js';
import { openStore } from '../adapters/open-store.js';
import type { AttemptPaths } from '../adapters/process-executor/attempt-directory.js';
import { pathsIn } from '../adapters/process-executor/attempt-directory.js';
import { readJson, writeJson } from '../adapters/attempt-files/json-file.js';
import type { AttemptResult, AttemptSpec } from '../adapters/process-executor/attempt-spec.js';
import { systemCgroupFiles } from '../adapters/process-executor/cgroup-files.js';
import { readLogTail } from '../adapters/attempt-files/log-tail.js';
import { storeFailure } from '../adapters/attempt-files/stored-outcome.js';
import { readProcessIdentity } from '../adapters/process-identity.js';
import type { ArtifactStore } from '../core/artifact-store.js';
import type { AttemptFailed, AttemptOutcome } from '../core/attempt.js';
import type { AttemptFailure } from './attempt-failure.js';
import { failureOfError } from './attempt-failure.js';
import { stoppedFailure } from './classify-end.js';
import type { Stop, StopRequests } from './stop-requests.js';
import { watchStopRequests } from './stop-requests.js';
import { superviseAttempt } from './supervise-attempt.js';
import { uploadLog } from './upload-attempt.js';

// One supervisor per attempt: `node supervisor.js <attempt directory>`, in a session of its own, so that it outlives the worker that
// started it. Whoever makes `supervisor.json` is the one; every other leaves at once.
const directory = process.argv[2];
if (directory === undefined) throw new Error('Usage: supervisor <attempt directory>');
await main(pathsIn(directory));
process.exit(0);

async function main(paths: AttemptPaths): Promise<void> {
  const spec = await readJson<AttemptSpec>(paths.spec);
  const self = await readProcessIdentity(process.pid);
  if (spec === undefined || self === undefined) return;
  const place = await writeJson(paths.supervisor, self, { ifAbsent: true }).catch(goneAlready);
  if (place !== 'stored') return;
  const clock = { nowMs: () => Date.now() };
  const startedAtMs = clock.nowMs();
  const store = openStore({ root: spec.storeUri, ...(spec.s3 === undefined ? {} : { s3: spec.s3 }) });
  const stops = watchStopRequests(spec, paths);
  const end = await Promise.race([
    superviseAttempt({
      store,
      data: createExternalData(spec.data ?? { allowHosts: [] }),
      spec,
      paths,
      stops,
      self,
      env: process.env,
      cgroups: systemCgroupFiles,
      clock,
    }).catch((error: unknown) => failureOfError(spec.request.step, error)),
    abandonAfterStop(spec, stops),
  ]);
  const outcome =
    'kind' in end ? end : await toFailed({ spec, paths }, end, { startedAtMs, endedAtMs: clock.nowMs() });
  if (outcome.kind === 'failed') await recordFailure(store, { spec, paths }, outcome);
  const stopped = stops.stop();
  await writeJson(paths.result, toResult(outcome, stopped)).catch(goneAlready);
}

/** Somebody closed the attempt and removed its directory, having recorded how it ended. */
function goneAlready(error: unknown): undefined {
  if (!hasErrorCode(error, 'ENOENT')) throw error;
}

/** What a stop may take after its grace, before uploads are abandoned. */
const AFTER_GRACE_MS = 5_000;

async function abandonAfterStop(spec: AttemptSpec, stops: StopRequests): Promise<AttemptFailure> {
  return await new Promise((resolve) => {
    stops.signal.addEventListener('abort', () => {
      const stop = stops.stop();
      const graceMs = (stop?.graceMs ?? 0) + AFTER_GRACE_MS;
      setTimeout(() => resolve(stoppedFailure(spec, stop?.by ?? 'request')), graceMs).unref();
    });
  });
}

async function toFailed(
  { spec, paths }: { readonly spec: AttemptSpec; readonly paths: AttemptPaths },
  failure: AttemptFailure,
  times: { readonly startedAtMs: number; readonly endedAtMs: number },
): Promise<AttemptFailed> {
  return {
    kind: 'failed',
    attemptName: spec.name,
    ...failure,
    logTail: await readLogTail(paths.log),
    ...times,
  };
}

/** A store that is away does not change how the attempt ended: the result is in the directory, too. */
async function recordFailure(
  store: ArtifactStore,
  { spec, paths }: { readonly spec: AttemptSpec; readonly paths: AttemptPaths },
  outcome: AttemptFailed,
): Promise<void> {
  const { executionId } = spec.request;
  try {
    await uploadLog({ store, executionId, name: spec.name, paths });
    await storeFailure(store, { executionId, name: spec.name }, outcome);
  } catch (error) {
    process.stderr.write(
      `The failure could not be recorded in the store: ${error instanceof Error ? error.message : String(error)}\n`,
    );
  }
}

function toResult(outcome: AttemptOutcome, stopped: Stop | undefined): AttemptResult {
  return outcome.kind === 'succeeded' || stopped === undefined
    ? { outcome }
    : { outcome, stopped: stopped.by };
}
