import { storeKeys, type ArtifactStore } from '../../core/artifact-store.js';
import { AnnealError } from '../../core/failures.js';
import { toPathSegment } from '../../core/run.js';
import { GC_KEYS } from './gc-lock.js';
import { readJson } from './survey-store.js';

/** A legal hold: as long as it is there, nothing of these runs is removed. */
export interface Hold {
  readonly kind: 'run' | 'model';
  /** Run id, or name of the registered model. */
  readonly name: string;
  /** The run's executions, or those whose versions the model had when it was held. */
  readonly executionIds: readonly string[];
  readonly by: string;
  readonly atMs: number;
  readonly reason?: string;
}

/** The part of a store that holds are kept in. */
export type HoldStore = Pick<ArtifactStore, 'putBytes' | 'readBytes' | 'list' | 'remove'>;

/** What has such a name. */
export type HeldSubject = Pick<Hold, 'kind' | 'name'>;

/** Every hold. One that cannot be read still counts: its subject is in its key. */
export async function readHolds(store: Pick<HoldStore, 'list' | 'readBytes'>): Promise<Hold[]> {
  const holds: Hold[] = [];
  for await (const { key, modifiedAtMs } of store.list('holds/')) {
    const bytes = await store.readBytes(key);
    if (bytes === undefined) continue;
    const [, kind, file = ''] = key.split('/');
    const torn: Hold = {
      kind: kind === 'model' ? 'model' : 'run',
      name: decodeURIComponent(file.replace(/\.json$/, '')),
      ...{ executionIds: [], by: '', atMs: modifiedAtMs },
    };
    holds.push(readJson<Hold>(new TextDecoder().decode(bytes)) ?? torn);
  }
  return holds;
}

/**
 * Writes a hold, the first one of its subject; then looks whether `anneal gc` is at it, which does the reverse.
 * @throws AnnealError InvalidInput where the run is just being removed: it is held then, but some of it is gone.
 */
export async function addHold(store: HoldStore, hold: Hold): Promise<'added' | 'exists'> {
  const bytes = new TextEncoder().encode(`${JSON.stringify(hold)}\n`);
  const written = await store.putBytes(keyOf(hold), bytes, { ifAbsent: true });
  const removing = await store.readBytes(GC_KEYS.removing);
  const { executionId } =
    (removing && readJson<{ executionId: string }>(new TextDecoder().decode(removing))) ?? {};
  if (executionId !== undefined && hold.executionIds.includes(executionId))
    throw new AnnealError(
      'InvalidInput',
      `"anneal gc" is removing run "${hold.name}" just now. What is left of it is held from here on; look at it with: anneal describe ${hold.name}`,
    );
  return written === 'stored' ? 'added' : 'exists';
}

/** @throws AnnealError InvalidInput where there is no such hold. */
export async function removeHold(store: HoldStore, subject: HeldSubject): Promise<void> {
  const key = keyOf(subject);
  if ((await store.readBytes(key)) === undefined)
    throw new AnnealError(
      'InvalidInput',
      `There is no hold on ${subject.kind} "${subject.name}". See what there is with: anneal hold list`,
    );
  await store.remove([key]);
}

function keyOf({ kind, name }: HeldSubject): string {
  return storeKeys.hold(kind, toPathSegment(name));
}
