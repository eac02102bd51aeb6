import { AnnealError } from '../../core/failures.js';
import { GC_KEYS } from './gc-lock.js';
import type { RetentionDeps } from './retention-deps.js';
import { readJson, type SurveyedRun } from './survey-store.js';

/** Content of `gc/owner.json`. */
interface StoreOwner {
  readonly project: string;
  readonly identity: string;
}

/**
 * Another server, or another namespace, would call runs unknown that live.
 * @throws AnnealError InvalidConfig where the store was cleaned for one.
 */
export async function requireOwner({ store, runs, project }: RetentionDeps): Promise<void> {
  const bytes = await store.readBytes(GC_KEYS.owner);
  const owner = bytes && readJson<StoreOwner>(new TextDecoder().decode(bytes));
  if (owner === undefined) return;
  if (owner.project !== project)
    throw notAlone(
      `is that of project "${owner.project}", and this is project "${project}"`,
      `If the project was renamed and none of its old runs is open, remove ${store.uriOf(GC_KEYS.owner)} and try again`,
    );
  if (owner.identity !== (await runs.identity()))
    throw notAlone(
      'was cleaned for another Temporal server or namespace, whose runs cannot be seen from here',
      `Check TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE; if that server is gone for good, remove ${store.uriOf(GC_KEYS.owner)} and try again`,
    );
}

/** @throws AnnealError InvalidConfig where the store holds runs of another project. */
export function requireOwnRuns({ project }: RetentionDeps, surveyed: readonly SurveyedRun[]): void {
  const other = surveyed.find(({ record }) => record !== undefined && record.project !== project);
  if (other)
    throw notAlone(
      `also holds runs of project "${other.record?.project ?? ''}" (${other.record?.runId ?? ''}), and what its open runs use cannot be seen from project "${project}"`,
      'Give each project a store of its own',
    );
}

function notAlone(found: string, next: string): AnnealError {
  return new AnnealError('InvalidConfig', `The artifact store ${found}, so nothing is removed. ${next}.`);
}

/** @throws AnnealError InvalidConfig where runs were tracked, and nobody can be asked now which of them models come from. */
export function requireRegistry({ registered }: RetentionDeps, surveyed: readonly SurveyedRun[]): void {
  const tracked = surveyed.find(({ record }) => record?.tracking !== undefined);
  if (registered === undefined && tracked)
    throw new AnnealError(
      'InvalidConfig',
      `Run "${tracked.record?.runId ?? ''}" was tracked in MLflow, and none is known now that could tell from which runs its models come, so nothing is removed. Start it with "anneal up", or set MLFLOW_TRACKING_URI.`,
    );
}

/** Writes down whose store it is, once. */
export async function claimOwner({ store, runs, project }: RetentionDeps): Promise<void> {
  const owner: StoreOwner = { project, identity: await runs.identity() };
  await store.putBytes(GC_KEYS.owner, new TextEncoder().encode(`${JSON.stringify(owner)}\n`), {
    ifAbsent: true,
  });
}
