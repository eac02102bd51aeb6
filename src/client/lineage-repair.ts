import { storeKeys, type ArtifactStore } from '../core/artifact-store.js';
import type { Manifest } from '../core/artifacts.js';
import {
  buildLineageStep,
  buildPointers,
  buildReusePointer,
  buildRunPointer,
  type CodeFacts,
  type LineageReuse,
  type LineageStep,
} from '../core/lineage.js';
import { readJson, readStep, type AttemptKey } from './lineage-index.js';
import { eachOf } from './retention/each-of.js';

/** What the repair of lineage stands on. */
export interface LineageRepairDeps {
  readonly store: Pick<ArtifactStore, 'readBytes' | 'list' | 'putBytes'>;
  /** What is known of the code of a build; without it, records that are made again do not say it. */
  readonly readCode?:
    ((of: { readonly build: string; readonly step: string }) => Promise<CodeFacts>) | undefined;
  readonly clock: { nowMs(): number };
}

/** What a repair of lineage found. */
export interface LineageRepair {
  /** Records of attempts and of reuse that there are now. */
  readonly records: number;
  /** Records that were missing or torn, and were made again from the manifests of their attempts. */
  readonly restored: number;
  /** Pointers to records that were missing or torn. */
  readonly pointers: number;
  /** Attempts without a record whose manifests, of an earlier version of Anneal, do not say what they were made of. */
  readonly unknown: number;
}

/**
 * Makes again what a power failure took from the lineage index: records from the manifests of attempts, which are flushed, and everything that
 * leads to a record from the record. Reads all manifests and records of the store; repeating it changes nothing.
 * @throws AnnealError StoreUnavailable
 */
export async function repairIndex(deps: LineageRepairDeps): Promise<LineageRepair> {
  const { restored, unknown } = await restoreRecords(deps, 'runs/');
  let [records, pointers] = [0, 0];
  await eachOf(deps.store.list('lineage/steps/'), AT_ONCE, async ({ key }) => {
    const record = await readJson<LineageStep | LineageReuse>(deps.store, key);
    if (record === undefined) return;
    records += 1;
    for (const pointer of pointersTo(record)) if (await putMissing(deps, pointer)) pointers += 1;
  });
  return { records, restored, pointers, unknown };
}

/** Makes the records again that are missing of attempts below a prefix, `runs/` or `runs/<execution id>/`. */
export async function restoreRecords(
  deps: LineageRepairDeps,
  prefix: string,
): Promise<Pick<LineageRepair, 'restored' | 'unknown'>> {
  let [restored, unknown] = [0, 0];
  const beforeMs = deps.clock.nowMs() - SETTLED_MS;
  await eachOf(deps.store.list(prefix), AT_ONCE, async ({ key, modifiedAtMs }) => {
    const [, executionId = '', attemptName = ''] = MANIFEST.exec(key) ?? [];
    if (attemptName === '' || modifiedAtMs > beforeMs) return;
    const verdict = await restoreRecord(deps, { executionId, attemptName });
    if (verdict === 'restored') restored += 1;
    if (verdict === 'unknown') unknown += 1;
  });
  return { restored, unknown };
}

const MANIFEST = /^runs\/([^/]+)\/attempts\/([^/]+)\/manifest\.json$/;
/** The worker of an attempt that has just ended writes a record that says more. */
const SETTLED_MS = 60_000;
const AT_ONCE = 8;

async function restoreRecord(
  { store, readCode }: LineageRepairDeps,
  attempt: AttemptKey,
): Promise<'there' | 'restored' | 'unknown'> {
  if ((await readStep(store, attempt)) !== undefined) return 'there';
  const { executionId, attemptName } = attempt;
  const manifest = await readJson<Manifest>(store, storeKeys.manifest(executionId, attemptName));
  if (manifest?.origin === undefined) return 'unknown';
  const { origin, outputs } = manifest;
  // Nothing leads to or from it.
  if (Object.keys(origin.inputs).length + Object.keys(outputs).length === 0) return 'there';
  const code = await readCode?.({ build: origin.build, step: origin.step });
  const record = buildLineageStep({
    origin,
    executionId,
    outcome: { ...manifest, attemptName },
    ...(code && { code }),
  });
  await put(store, storeKeys.lineageStep(executionId, attemptName), record);
  return 'restored';
}

function pointersTo(record: LineageStep | LineageReuse): [key: string, value: object][] {
  return 'reused' in record
    ? [buildRunPointer(record), buildReusePointer(record)]
    : [buildRunPointer(record), ...buildPointers(record)];
}

async function putMissing(
  { store }: LineageRepairDeps,
  [key, value]: readonly [string, object],
): Promise<boolean> {
  if ((await readJson(store, key)) !== undefined) return false;
  await put(store, key, value);
  return true;
}

/** Also in place of what is torn. */
async function put(store: LineageRepairDeps['store'], key: string, value: object): Promise<void> {
  await store.putBytes(key, new TextEncoder().encode(JSON.stringify(value)));
}
