import type { ArtifactStore } from '../../core/artifact-store.js';
import { storeKeys } from '../../core/artifact-store.js';
import type { ArtifactRef, Manifest } from '../../core/artifacts.js';
import type { AttemptOutcome, AttemptSucceeded } from '../../core/attempt.js';

/** Where an attempt belongs in the store. */
export interface AttemptPlace {
  readonly executionId: string;
  readonly name: string;
}

/**
 * How an attempt ended, as the store knows it: the manifest before everything else, then the record of a failure. `undefined`: the
 * store knows no end.
 */
export async function readStoredOutcome(
  store: ArtifactStore,
  place: AttemptPlace,
): Promise<AttemptOutcome | undefined> {
  const manifest = await readManifest(store, storeKeys.manifest(place.executionId, place.name));
  if (manifest) return outcomeOfManifest(manifest);
  return await readStored<AttemptOutcome>(store, outcomeKey(place));
}

/** Records a failure, so that it is known after the attempt's directory is gone. The first record wins. */
export async function storeFailure(
  store: ArtifactStore,
  place: AttemptPlace,
  outcome: AttemptOutcome,
): Promise<void> {
  if (outcome.kind === 'failed')
    await store.putBytes(outcomeKey(place), toBytes(outcome), { ifAbsent: true });
}

/** A manifest by its key. */
export async function readManifest(store: ArtifactStore, key: string): Promise<Manifest | undefined> {
  return await readStored<Manifest>(store, key);
}

/** The outcome that a manifest stands for. */
export function outcomeOfManifest(manifest: Manifest): AttemptSucceeded {
  const outputs: Record<string, ArtifactRef> = {};
  for (const [name, { files: _files, preview: _preview, ...ref }] of Object.entries(manifest.outputs))
    outputs[name] = ref;
  const { attempt: attemptName, parameters, startedAtMs, endedAtMs, memory } = manifest;
  return {
    kind: 'succeeded',
    attemptName,
    outputs,
    parameters,
    startedAtMs,
    endedAtMs,
    ...(memory === undefined ? {} : { memory }),
  };
}

/** A value as the bytes of its JSON. */
export function toBytes(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

function outcomeKey({ executionId, name }: AttemptPlace): string {
  return `${storeKeys.attempt(executionId, name)}outcome.json`;
}

async function readStored<T>(store: ArtifactStore, key: string): Promise<T | undefined> {
  const bytes = await store.readBytes(key);
  return bytes === undefined ? undefined : (JSON.parse(new TextDecoder().decode(bytes)) as T);
}
