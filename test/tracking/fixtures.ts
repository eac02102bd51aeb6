import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { createMlflowClient } from 'mlflow-ts-client';
import type { ActivityContext, Clock } from '../../src/activities/ports/activity-context.js';
import { createMlflowRegistry } from '../../src/adapters/mlflow/registry.js';
import { createMlflowTracking } from '../../src/adapters/mlflow/tracking.js';
import type { AttemptFailed, AttemptRequest, AttemptSucceeded } from '../../src/core/attempt.js';
import type { ArtifactRef, FileEntry, Manifest } from '../../src/core/artifacts.js';
import { treeDigest } from '../../src/core/artifacts.js';
import type { ArtifactStore } from '../../src/core/artifact-store.js';
import { storeKeys } from '../../src/core/artifact-store.js';
import type { FakeMlflow } from './fake-mlflow.js';
import { startFakeMlflow } from './fake-mlflow.js';

/** A clock whose sleeps take no time but move it. */
export function createFakeClock(startMs = 1_700_000_000_000): Clock {
  let now = startMs;
  return {
    nowMs: () => now,
    sleep: async (ms, signal) => {
      signal.throwIfAborted();
      now += ms;
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

/** The context of a call by run "nightly/1". */
export function createContext(overrides: Partial<ActivityContext> = {}): () => ActivityContext {
  const context = {
    namespace: 'default',
    workflowId: 'nightly/1',
    epoch: 'epoch-1',
    signal: new AbortController().signal,
    heartbeat: () => undefined,
    ...overrides,
  };
  return () => context;
}

/** A fake MLflow and both adapters on it; a request is given up after 200 ms, and the client itself does not repeat. */
export async function withMlflow(
  use: (parts: { fake: FakeMlflow } & ReturnType<typeof createAdapters>) => Promise<void>,
): Promise<void> {
  const fake = await startFakeMlflow();
  try {
    await use({ fake, ...createAdapters(fake.url) });
  } finally {
    await fake.close();
  }
}

function createAdapters(trackingUri: string) {
  const clock = createFakeClock();
  const client = createMlflowClient({ trackingUri, timeoutMs: 200, retry: { attempts: 1 } });
  return {
    clock,
    client,
    tracking: createMlflowTracking({ client, clock }),
    registry: createMlflowRegistry({ client, clock }),
  };
}

/** A store in memory. */
export function createMemoryStore(): ArtifactStore & { readonly objects: Map<string, Uint8Array> } {
  const objects = new Map<string, Uint8Array>();
  const rootUri = 'memory://store';
  const notUsed = () => Promise.reject(new Error('not used here'));
  return {
    objects,
    rootUri,
    uriOf: (key) => `${rootUri}/${key}`,
    keyOf: (uri) => uri.slice(rootUri.length + 1),
    putFile: notUsed,
    putBytes: async (key, bytes) => {
      objects.set(key, bytes);
      return 'stored';
    },
    readBytes: async (key) => objects.get(key),
    openRead: notUsed,
    stat: notUsed,
    fetchFile: async (key, localPath) => writeFile(localPath, objects.get(key) ?? ''),
    list: () => {
      throw new Error('not used here');
    },
    removeAll: notUsed,
    remove: async (keys) => keys.forEach((key) => objects.delete(key)),
  };
}

/** Puts a model directory into a store as attempt `train-a1` of execution `exec-1` would. */
export async function storeModel(
  store: ArtifactStore,
  files: { readonly [path: string]: string | Uint8Array },
): Promise<ArtifactRef<'Model'>> {
  const prefix = storeKeys.output('exec-1', 'train-a1', 'model');
  const entries: FileEntry[] = [];
  for (const [path, content] of Object.entries(files)) {
    const bytes = Buffer.from(content as string);
    await store.putBytes(`${prefix}/${path}`, bytes);
    entries.push({ path, sizeBytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') });
  }
  const sizeBytes = entries.reduce((sum, entry) => sum + entry.sizeBytes, 0);
  const model: ArtifactRef<'Model'> = {
    kind: 'Model',
    uri: store.uriOf(prefix),
    digest: treeDigest(entries),
    sizeBytes,
    form: 'directory',
    values: {},
  };
  const manifest: Manifest = {
    version: 1,
    attempt: 'train-a1',
    outputs: { model: { ...model, files: entries } },
    parameters: {},
    startedAtMs: 1,
    endedAtMs: 2,
  };
  await store.putBytes(storeKeys.manifest('exec-1', 'train-a1'), Buffer.from(JSON.stringify(manifest)));
  return model;
}

/** An attempt of step "train". */
export function buildRequest(overrides: Partial<AttemptRequest> = {}): AttemptRequest {
  return {
    project: 'churn',
    pipeline: 'churn-training',
    executionId: 'exec-1',
    step: 'train',
    callId: 'c0ffee',
    index: 0,
    attempt: 1,
    build: 'b1',
    pool: 'cpu',
    code: [],
    codeDigest: 'd1',
    env: {},
    command: ['true'],
    inputs: {},
    parameters: { trees: 200, rate: 0.1 },
    outputs: {},
    resources: {},
    stopGraceMs: 1_000,
    tracking: { experimentId: '1', parentRunId: 'parent' },
    ...overrides,
  };
}

/** An outcome with one Metrics output. */
export function buildSucceeded(values: { readonly [name: string]: number | string }): AttemptSucceeded {
  const metrics: ArtifactRef = {
    kind: 'Metrics',
    uri: 'memory://store/m',
    digest: 'd2',
    sizeBytes: 2,
    form: 'file',
    values,
  };
  return {
    kind: 'succeeded',
    attemptName: 'train-a1',
    outputs: { metrics },
    parameters: {},
    startedAtMs: 1_000,
    endedAtMs: 2_000,
  };
}

/** An outcome of a command that failed. */
export function buildFailed(): AttemptFailed {
  return {
    kind: 'failed',
    attemptName: 'train-a1',
    code: 'StepFailed',
    message: 'Step "train" failed.',
    logTail: [],
    startedAtMs: 1_000,
    endedAtMs: 2_000,
  };
}
