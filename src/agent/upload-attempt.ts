import { lstat } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { makePreview } from '../adapters/artifact-previews/make-preview.js';
import type { AttemptPaths } from '../adapters/process-executor/attempt-directory.js';
import { toBytes } from '../adapters/attempt-files/stored-outcome.js';
import type { ArtifactStore } from '../core/artifact-store.js';
import { storeKeys } from '../core/artifact-store.js';
import type { AttemptMemory, AttemptOrigin, FileEntry, Manifest, ManifestOutput } from '../core/artifacts.js';
import { treeDigest } from '../core/artifacts.js';
import { AnnealError } from '../core/failures.js';
import type { CollectedArtifact, CollectedOutputs } from './collect-outputs.js';
import { stampOf } from './collect-outputs.js';

/** What is stored, and where it belongs. */
export interface Upload {
  /** Below it outputs go, as `outputs/<name>`, and the manifest that lists their files; default: the attempt's own place. */
  readonly prefix?: string;
  /** Stores the log, before the manifest. */
  readonly storeLog: () => Promise<void>;
  /** Until when a store that does not answer is asked again, by `nowMs`. Default: a few tries. */
  readonly patientUntilMs?: number;
  readonly store: ArtifactStore;
  readonly executionId: string;
  readonly name: string;
  readonly origin: AttemptOrigin;
  readonly outputs: CollectedOutputs;
  readonly memory: AttemptMemory | undefined;
  readonly startedAtMs: number;
  readonly nowMs: () => number;
}

/**
 * Stores outputs, log and, last, the manifest: from then on the attempt has succeeded.
 * @throws AnnealError UploadFailed when the store refuses for longer than a few tries.
 */
export async function uploadAttempt(upload: Upload): Promise<Manifest> {
  const { store, executionId, name, outputs } = upload;
  const stored: Record<string, ManifestOutput> = {};
  for (const artifact of outputs.artifacts)
    stored[artifact.name] = await withRetries(upload, () => uploadArtifact(upload, artifact));
  await withRetries(upload, upload.storeLog);
  const { parameters } = outputs;
  const manifest: Manifest = {
    version: 1,
    attempt: name,
    outputs: stored,
    parameters,
    origin: upload.origin,
    ...(upload.memory === undefined ? {} : { memory: upload.memory }),
    startedAtMs: upload.startedAtMs,
    endedAtMs: upload.nowMs(),
  };
  const key = storeKeys.manifest(executionId, name);
  const own = `${prefixOf(upload)}manifest.json`;
  if (own !== key) await withRetries(upload, () => store.putBytes(own, toBytes(manifest)));
  await withRetries(upload, () => store.putBytes(key, toBytes(manifest), { ifAbsent: true }));
  return manifest;
}

function prefixOf({ prefix, executionId, name }: Upload): string {
  return prefix ?? storeKeys.attempt(executionId, name);
}

/** Stores the log of an attempt. */
export async function uploadLog({
  store,
  executionId,
  name,
  paths,
}: Pick<Upload, 'store' | 'executionId' | 'name'> & { readonly paths: AttemptPaths }): Promise<void> {
  await store.putFile(storeKeys.log(executionId, name), paths.log);
}

const AT_ONCE = 4;
const WAITS_MS = [250, 1_000, 4_000];
const LONGEST_WAIT_MS = 10_000;

async function uploadArtifact(upload: Upload, artifact: CollectedArtifact): Promise<ManifestOutput> {
  const { store } = upload;
  const { kind, form, localPath, values } = artifact;
  const key = `${prefixOf(upload)}outputs/${artifact.name}`;
  const files: FileEntry[] = [];
  const waiting = [...artifact.files];
  const worker = async () => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      const local = path.join(localPath, file);
      const entry = await store.putFile(file === '' ? key : `${key}/${file}`, local);
      await checkUnchanged(artifact, file, local);
      files.push({ ...entry, path: file === '' ? artifact.name : file });
    }
  };
  const [preview] = await Promise.all([makePreview(artifact), ...Array.from({ length: AT_ONCE }, worker)]);
  files.sort((a, b) => (a.path < b.path ? -1 : 1));
  const [first] = files;
  const digest = form === 'file' && first ? first.sha256 : treeDigest(files);
  const sizeBytes = files.reduce((sum, file) => sum + file.sizeBytes, 0);
  return { kind, uri: store.uriOf(key), digest, sizeBytes, form, values, files, ...(preview && { preview }) };
}

/** @throws AnnealError OutputInvalid: what is stored may be half of one state and half of another. */
async function checkUnchanged(artifact: CollectedArtifact, file: string, local: string): Promise<void> {
  const stats = await lstat(local).catch(() => undefined);
  if (stats !== undefined && stampOf(stats) === artifact.stamps[file]) return;
  throw new AnnealError(
    'OutputInvalid',
    `its output "${artifact.name}" changed while it was stored (${local}). Let nothing write to it after the command has ended.`,
  );
}

async function withRetries<T>(
  { patientUntilMs, nowMs }: Pick<Upload, 'patientUntilMs' | 'nowMs'>,
  work: () => Promise<T>,
): Promise<T> {
  for (let tries = 0; ; tries++) {
    const wait = WAITS_MS[tries] ?? LONGEST_WAIT_MS;
    const isOver = patientUntilMs === undefined ? tries >= WAITS_MS.length : nowMs() + wait > patientUntilMs;
    try {
      return await work();
    } catch (error) {
      const passes = error instanceof AnnealError && error.code === 'StoreUnavailable';
      if (!passes || isOver) throw asUploadFailure(error);
    }
    await delay(wait);
  }
}

function asUploadFailure(error: unknown): AnnealError {
  const reason = error instanceof Error ? error.message : String(error);
  if (error instanceof AnnealError && error.code === 'OutputInvalid') return error;
  // A bucket that is not there, or credentials that are wrong, will be so for the next attempt, too.
  if (error instanceof AnnealError && error.code === 'InvalidConfig')
    return new AnnealError('InvalidConfig', `its outputs could not be stored: ${reason}`, { cause: error });
  return new AnnealError('UploadFailed', `its outputs could not be stored: ${reason}`, { cause: error });
}
