import { storeKeys, type ArtifactStore, type StoredObject } from '../../core/artifact-store.js';
import type { MadePartition } from '../../core/made-partition.js';
import type { RetentionPolicy } from '../../core/retention.js';
import type { ScheduleAccount } from '../../core/schedule-account.js';
import { readJson } from './survey-store.js';

/** The part of a store that holds what schedules, triggers and backfills write down. */
export type RecordStore = Pick<ArtifactStore, 'list' | 'readBytes'>;

/** When records are old. */
export interface RecordAge {
  readonly policy: Pick<RetentionPolicy, 'ageMs' | 'graceMs'>;
  readonly nowMs: number;
}

/** A trigger's mark is so much newer than a record when the event of that is looked at no more. */
const LOOKED_MS = 3_600_000;

/**
 * Keys of a project's records that nobody needs: of partitions whose run is gone; of times without a run and of fired triggers, as old as
 * runs may become; of schedules and triggers that are no more, of which nothing was written for as long.
 */
export async function findOldRecords(
  store: RecordStore,
  project: string,
  { policy, nowMs }: RecordAge,
): Promise<string[]> {
  const before = nowMs - Math.max(policy.ageMs, policy.graceMs);
  return [
    ...(await oldPartitions(store, `partitions/${project}/`, before)),
    ...(await oldOfTriggers(store, `triggers/${project}/`, before)),
    ...(await oldOfSchedules(store, `schedules/${project}/`, before)),
  ];
}

async function oldPartitions(store: RecordStore, prefix: string, beforeMs: number): Promise<string[]> {
  const old: string[] = [];
  for await (const { key, modifiedAtMs } of store.list(prefix)) {
    if (modifiedAtMs > beforeMs) continue;
    const made = await read<MadePartition>(store, key);
    if (made === undefined || (await store.readBytes(storeKeys.run(made.executionId))) === undefined)
      old.push(key);
  }
  return old;
}

/** The mark of a trigger that is looked at is written again every few minutes. */
async function oldOfTriggers(store: RecordStore, prefix: string, beforeMs: number): Promise<string[]> {
  const objects = await collect(store, prefix);
  const markOf = new Map(
    objects.flatMap(({ key, modifiedAtMs }) =>
      key.endsWith('/mark.json') ? [[key.slice(0, -'mark.json'.length), modifiedAtMs] as const] : [],
    ),
  );
  return objects.flatMap(({ key, modifiedAtMs }) => {
    if (modifiedAtMs > beforeMs || key === `${prefix}active.json`) return [];
    const [trigger = ''] = key.split('fired/');
    const markMs = markOf.get(trigger);
    // An event that the trigger has yet to look past would start a second run.
    const isSafe = key.endsWith('/mark.json') || markMs === undefined || markMs > modifiedAtMs + LOOKED_MS;
    return isSafe ? [key] : [];
  });
}

/** The account of a schedule that is looked at is written again every hour. */
async function oldOfSchedules(store: RecordStore, prefix: string, beforeMs: number): Promise<string[]> {
  const old: string[] = [];
  const current = new Map<string, string | undefined>();
  for (const { key, modifiedAtMs } of await collect(store, prefix)) {
    if (modifiedAtMs > beforeMs) continue;
    const [, directory = '', digest] = /^(.*\/)definitions\/([^/]+)\.json$/.exec(key) ?? [];
    if (digest !== undefined && !current.has(directory))
      current.set(directory, (await read<ScheduleAccount>(store, `${directory}account.json`))?.digest);
    if (digest === undefined || current.get(directory) !== digest) old.push(key);
  }
  return old;
}

async function collect(store: RecordStore, prefix: string): Promise<StoredObject[]> {
  const objects: StoredObject[] = [];
  for await (const object of store.list(prefix)) objects.push(object);
  return objects;
}

async function read<T>(store: RecordStore, key: string): Promise<T | undefined> {
  const bytes = await store.readBytes(key);
  return bytes && readJson<T>(new TextDecoder().decode(bytes));
}
