import { storeKeys, type ArtifactStore, type SchedulePlace } from '../core/artifact-store.js';
import {
  accountFor,
  lookFrom,
  type ScheduleAccount,
  type ScheduledRun,
  type ScheduleView,
  type SkippedTime,
} from '../core/schedule-account.js';
import type { ScheduleDefinition } from '../core/schedule-definition.js';
import type { ScheduleDirectory } from './ports/schedule-directory.js';

/** What {@link sweepSchedules} is made of. */
export interface ScheduleSweepDeps {
  readonly project: string;
  readonly schedules: ScheduleDirectory;
  readonly store: Pick<ArtifactStore, 'readBytes' | 'putBytes' | 'remove'>;
  readonly clock: { readonly nowMs: () => number };
  readonly log: (message: string) => void;
  /** Time that the server has to start a run after its time. Default a minute. */
  readonly settleMs?: number;
  /** Tells people of times without a run, those of one schedule together. */
  readonly tell: (view: ScheduleView, skipped: readonly SkippedTime[]) => Promise<void>;
}

const SETTLE_MS = 60_000;
/** The server's list of runs may lag behind. */
const LAG_MS = 120_000;
/** Of a schedule that is seen for the first time, older times are news to nobody. */
const NEWS_MS = 3_600_000;

/**
 * Accounts for the times of all schedules: each has a run, or gets a record in the store that says why not. Repeating it is safe. A
 * schedule that cannot be accounted for keeps no other from being.
 */
export async function sweepSchedules(deps: ScheduleSweepDeps): Promise<void> {
  const views = (await deps.schedules.listSchedules()).filter(isOurs);
  if (views.length === 0) return;
  const retentionMs = await deps.schedules.readRetentionMs();
  for (const view of views) {
    try {
      await sweepSchedule(deps, view, retentionMs);
    } catch (error) {
      deps.log(`could not account for the times of schedule ${view.scheduleId}: ${String(error)}`);
    }
  }
}

type OwnView = ScheduleView & { readonly definition: ScheduleDefinition };

function isOurs(view: ScheduleView): view is OwnView {
  return view.definition !== undefined;
}

async function sweepSchedule(deps: ScheduleSweepDeps, view: OwnView, retentionMs: number): Promise<void> {
  const { store, clock, settleMs = SETTLE_MS } = deps;
  const place: SchedulePlace = { project: deps.project, pipeline: view.pipeline };
  const account = await readJson<ScheduleAccount>(deps, storeKeys.scheduleAccount(place));
  const nowMs = clock.nowMs();
  const look = { account, view, nowMs, retentionMs, settleMs };
  const runs = await deps.schedules.listRuns(view.scheduleId, lookFrom(look) - LAG_MS);
  const before =
    account !== undefined && account.digest !== view.digest
      ? await readJson<ScheduleDefinition>(deps, storeKeys.scheduleDefinition(place, account.digest))
      : undefined;
  const next = accountFor({ ...look, before, runs });
  await forgetLate(deps, { place, account, runs });
  for (const skipped of next.skipped)
    await store.putBytes(storeKeys.scheduleSkip(place, skipped.atMs), toBytes(skipped));
  const told = next.skipped.filter(
    ({ atMs, reason }) =>
      reason !== 'holiday' && reason !== 'paused' && (account !== undefined || atMs > nowMs - NEWS_MS),
  );
  if (told.length > 0) await deps.tell(view, told);
  if (account?.digest !== view.digest)
    await store.putBytes(storeKeys.scheduleDefinition(place, view.digest), toBytes(view.definition));
  if (isNews(account, next.account))
    await store.putBytes(storeKeys.scheduleAccount(place), toBytes(next.account));
}

/** Whether something happened: nothing is written once a minute while a schedule waits for its next time. */
function isNews(before: ScheduleAccount | undefined, after: ScheduleAccount): boolean {
  if (before === undefined) return true;
  const { lookedAtMs: lookedBefore, accountedToMs: accountedBefore, ...rest } = before;
  const { lookedAtMs, accountedToMs, ...now } = after;
  return (
    JSON.stringify(rest) !== JSON.stringify(now) ||
    accountedToMs < accountedBefore ||
    accountedToMs - accountedBefore > NEWS_MS ||
    lookedAtMs - lookedBefore > NEWS_MS
  );
}

/** A run that started after its time was given up: the run counts, and the record goes. */
async function forgetLate(
  { store }: ScheduleSweepDeps,
  {
    place,
    account,
    runs,
  }: {
    readonly place: SchedulePlace;
    readonly account: ScheduleAccount | undefined;
    readonly runs: readonly ScheduledRun[];
  },
): Promise<void> {
  if (account === undefined) return;
  const late = runs.filter(
    ({ atMs, startedAtMs }) =>
      atMs <= account.accountedToMs && startedAtMs > account.lookedAtMs - NEWS_MS - LAG_MS,
  );
  for (const { atMs } of late) {
    const key = storeKeys.scheduleSkip(place, atMs);
    if ((await store.readBytes(key)) !== undefined) await store.remove([key]);
  }
}

async function readJson<T>({ store }: ScheduleSweepDeps, key: string): Promise<T | undefined> {
  const bytes = await store.readBytes(key);
  return bytes === undefined ? undefined : (JSON.parse(Buffer.from(bytes).toString('utf8')) as T);
}

function toBytes(value: object): Uint8Array {
  return Buffer.from(`${JSON.stringify(value)}\n`);
}
