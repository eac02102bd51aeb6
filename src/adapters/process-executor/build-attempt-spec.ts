import path from 'node:path';

import type { AttemptLaunch, AttemptWatch } from '../../activities/ports/executor.js';
import type { AttemptFailed, AttemptRequest } from '../../core/attempt.js';
import { AnnealError } from '../../core/failures.js';
import { gpuCount } from '../../core/pools.js';
import type { AttemptSpec } from './attempt-spec.js';
import type { ProcessExecutorDeps } from './executor-deps.js';
import { readSecrets } from './secrets.js';

/** Everything that an attempt's supervisor needs to know, with the Python environment made; or why there can be no such attempt. */
export async function buildAttemptSpec(
  deps: ProcessExecutorDeps,
  launch: AttemptLaunch,
  watch: AttemptWatch,
): Promise<AttemptSpec | AttemptFailed> {
  const { name, runId, environment } = launch;
  const request = withMlflowCredentials(launch.request, deps.mlflowSecret);
  const preparedAtMs = deps.clock.nowMs();
  const build = path.join(deps.buildsDir, request.build);
  const tell = (detail?: string) =>
    watch.onProgress({
      ...{ phase: 'preparing', sinceMs: preparedAtMs, adopted: false },
      ...(detail === undefined ? {} : { detail }),
    });
  tell();
  try {
    // Said before anything runs; the values themselves go to the supervisor alone.
    await readSecrets(request.env, deps);
    await deps.ensureBuild?.(request.build);
    const pythonBin = await makePython(deps, { launch, build, onProgress: tell }, watch);
    const count = gpuCount(request.resources);
    const devices = count === 0 ? [] : await deps.gpus.discover();
    return {
      version: 1,
      name,
      runId,
      request,
      environment,
      storeUri: deps.store.rootUri,
      ...(deps.s3 === undefined ? {} : { s3: deps.s3 }),
      ...(isPinned(request) && { data: deps.data ?? { allowHosts: [], s3: {} } }),
      codeDir: path.join(build, 'code', request.step),
      ...(pythonBin === undefined ? {} : { pythonBin }),
      gpu: { count, devices, leasesDir: deps.gpus.leasesDir },
      preparedAtMs,
      unclaimedMs: deps.unclaimedMs ?? UNCLAIMED_MS,
      checkpointSettleMs: deps.checkpointSettleMs ?? SETTLE_MS,
    };
  } catch (error) {
    if (!(error instanceof AnnealError)) throw error;
    const message = `Step "${request.step}": ${error.message}`;
    return {
      kind: 'failed',
      attemptName: name,
      code: error.code,
      message,
      logTail: [],
      startedAtMs: preparedAtMs,
      endedAtMs: deps.clock.nowMs(),
    };
  }
}

/** Whether an input is outside the store. */
function isPinned({ inputs }: AttemptRequest): boolean {
  return Object.values(inputs).some(({ pin }) => pin !== undefined);
}

/** References: the values reach the supervisor as the step's own secrets do, and are nowhere on disk. What the step sets itself wins. */
function withMlflowCredentials(request: AttemptRequest, name: string | undefined): AttemptRequest {
  if (name === undefined || request.tracking === undefined) return request;
  const credentials = {
    MLFLOW_TRACKING_USERNAME: { secret: { name, key: 'username' } },
    MLFLOW_TRACKING_PASSWORD: { secret: { name, key: 'password' } },
  };
  return { ...request, env: { ...credentials, ...request.env } };
}

const UNCLAIMED_MS = 5 * 60_000;
const SETTLE_MS = 10_000;

interface PythonWanted {
  readonly launch: AttemptLaunch;
  readonly build: string;
  readonly onProgress: (line: string) => void;
}

async function makePython(
  deps: ProcessExecutorDeps,
  { launch, build, onProgress }: PythonWanted,
  watch: AttemptWatch,
): Promise<string | undefined> {
  const { python } = launch.request;
  if (python === undefined) return undefined;
  const signal = AbortSignal.any([watch.cancelled, watch.detached]);
  const made = deps
    .ensurePython(
      { ...python, requirements: path.join(build, 'python', `${launch.request.step}.txt`) },
      { signal, onProgress },
    )
    .catch((error: unknown) => {
      signal.throwIfAborted();
      if (error instanceof AnnealError) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      throw new AnnealError(
        'EnvironmentFailed',
        `its Python environment (${python.requirements}) could not be made: ${reason}`,
        { cause: error },
      );
    });
  return (await untilAborted(made, signal)).bin;
}

/** An installation takes minutes; a cancel need not wait for it. What it makes stays in the cache. */
async function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, stop } = rejectionOf(signal);
  try {
    return await Promise.race([work, promise]);
  } finally {
    stop();
    work.catch(() => undefined);
  }
}

function rejectionOf(signal: AbortSignal): { readonly promise: Promise<never>; stop(): void } {
  let onAbort: () => void = () => undefined;
  const promise = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason instanceof Error ? signal.reason : new Error(String(signal.reason)));
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort);
  });
  return { promise, stop: () => signal.removeEventListener('abort', onAbort) };
}
