import { parseDuration } from './duration.js';
import type { ScheduleDefinition } from './schedule-definition.js';
import { compileSchedule, type FireTime } from './schedule-times.js';

/** Why a time of a schedule passed without a run. */
export type SkipReason =
  'holiday' | 'overlap' | 'missed' | 'paused' | 'dropped' | 'not-started' | 'forgotten';

/** A time of a schedule without a run, as it is kept in the store. */
export interface SkippedTime {
  readonly atMs: number;
  readonly reason: SkipReason;
  /** The reason for people: one sentence. */
  readonly text: string;
  readonly recordedAtMs: number;
}

/** Times that the server counts without naming them, since the schedule was made. */
export interface SkipCounts {
  /** The run before was still open. */
  readonly overlap: number;
  /** Nothing could start it in time. */
  readonly missed: number;
  /** Too many times waited. */
  readonly dropped: number;
}

/** A schedule as the server has it now. */
export interface ScheduleView {
  readonly scheduleId: string;
  readonly pipeline: string;
  /** As it was applied, and its digest; absent for a schedule that was made in another way. */
  readonly definition?: ScheduleDefinition;
  readonly digest: string;
  readonly createdAtMs: number;
  readonly updatedAtMs?: number;
  readonly paused: boolean;
  readonly note?: string;
  readonly counts: SkipCounts;
  /** Times that still wait for the run before to end. */
  readonly buffered: number;
}

/** A run that a schedule started. */
export interface ScheduledRun {
  readonly runId: string;
  /** The time of the schedule, before jitter. */
  readonly atMs: number;
  readonly startedAtMs: number;
  readonly endedAtMs?: number;
}

/** How far the times of a schedule are accounted for. In the store, so that it outlives everything else. */
export interface ScheduleAccount {
  /** Of the schedule: one that was removed and made again is another. */
  readonly createdAtMs: number;
  /** Every time up to here has a run or a record. */
  readonly accountedToMs: number;
  /** Of the definition whose times come next. */
  readonly digest: string;
  readonly paused: boolean;
  /** Up to when it may have been paused: the last look that saw it so, or the one after, before which it was resumed. */
  readonly pausedToMs?: number;
  /** Counts of the server that are explained by records. */
  readonly counted: SkipCounts;
  readonly lookedAtMs: number;
  /** When times without a run were seen that may still get one. */
  readonly waitingSinceMs?: number;
}

/** What is looked at. */
export interface Accounting {
  readonly account: ScheduleAccount | undefined;
  readonly view: ScheduleView & { readonly definition: ScheduleDefinition };
  /** The definition that `account.digest` names; absent where nobody knows it any more. */
  readonly before?: ScheduleDefinition | undefined;
  /** All that are open, or started or ended since {@link lookFrom}. */
  readonly runs: readonly ScheduledRun[];
  readonly nowMs: number;
  /** Time that the server has to start a run after its time, jitter apart. */
  readonly settleMs: number;
  /** How long Temporal keeps ended runs. */
  readonly retentionMs: number;
}

const NO_COUNTS: SkipCounts = { overlap: 0, missed: 0, dropped: 0 };
/** Of one look; the next look goes on. */
const MOST_TIMES = 2_000;

/** From when on runs must be known to account for a schedule. */
export function lookFrom({
  account,
  view,
  nowMs,
  retentionMs,
}: Pick<Accounting, 'account' | 'view' | 'nowMs' | 'retentionMs'>): number {
  const sameSchedule = account !== undefined && account.createdAtMs === view.createdAtMs;
  return sameSchedule ? account.accountedToMs : Math.max(view.createdAtMs - 1, nowMs - retentionMs);
}

/**
 * Decides on every time that is due: it has a run, or it is skipped for a reason, or it may still get its run and is looked at again. A
 * time without a run is decided only at the second look, at least `settleMs` after the first: a server that was away starts late.
 */
export function accountFor(accounting: Accounting): {
  readonly account: ScheduleAccount;
  readonly skipped: readonly SkippedTime[];
} {
  const { account, view, runs, nowMs, settleMs } = accounting;
  const fromMs = lookFrom(accounting);
  const known = account?.createdAtMs === view.createdAtMs ? account : undefined;
  const due = dueTimes(accounting, known, fromMs);
  const started = new Set(runs.map(({ atMs }) => atMs));
  const waitingSinceMs = known?.waitingSinceMs ?? nowMs;
  const decidedToMs =
    nowMs - waitingSinceMs >= settleMs && view.buffered === 0
      ? waitingSinceMs - settleMs - jitterOf(view)
      : -1;
  const missing: FireTime[] = [];
  const skipped: SkippedTime[] = [];
  let accountedToMs = due.untilMs;
  let waits = false;
  for (const time of due.times) {
    if (started.has(time.atMs)) continue;
    if (time.skipped === undefined && time.atMs > decidedToMs) {
      accountedToMs = time.atMs - 1;
      waits = true;
      break;
    }
    if (time.skipped === undefined) missing.push(time);
    else skipped.push({ ...holiday(time), recordedAtMs: nowMs });
  }
  const pause = pauseOf(accounting, known);
  const explained = explain(missing, accounting, { known, ...pause });
  skipped.push(...explained.skipped);
  return {
    skipped: skipped.toSorted((a, b) => a.atMs - b.atMs),
    account: {
      createdAtMs: view.createdAtMs,
      accountedToMs,
      digest: accountedToMs >= due.changedAtMs ? view.digest : (known?.digest ?? view.digest),
      paused: view.paused,
      ...pause,
      // What is left when nothing waits was no time of the schedule: runs that people asked for are counted, too.
      counted: waits || due.more ? explained.counted : view.counts,
      lookedAtMs: nowMs,
      ...(waits ? { waitingSinceMs: decidedToMs < 0 ? waitingSinceMs : nowMs } : {}),
    },
  };
}

function pauseOf(
  { view, nowMs }: Accounting,
  known: ScheduleAccount | undefined,
): Pick<ScheduleAccount, 'pausedToMs'> {
  const pausedToMs = view.paused || known?.paused === true ? nowMs : known?.pausedToMs;
  return pausedToMs === undefined ? {} : { pausedToMs };
}

/** The times after `fromMs` for which runs should be there, by the definition of their time. */
function dueTimes(
  { view, before, nowMs, settleMs }: Accounting,
  known: ScheduleAccount | undefined,
  fromMs: number,
) {
  const limitMs = Math.max(fromMs, nowMs - settleMs - jitterOf(view));
  const isChanged = known !== undefined && known.digest !== view.digest;
  const changedAtMs = isChanged ? (view.updatedAtMs ?? view.createdAtMs) : fromMs;
  const old =
    isChanged && before !== undefined
      ? compileSchedule(before).between(fromMs, Math.min(changedAtMs, limitMs), MOST_TIMES)
      : [];
  const own = compileSchedule(view.definition).between(
    Math.max(fromMs, changedAtMs),
    limitMs,
    MOST_TIMES - old.length,
  );
  const times = [...old, ...own];
  const untilMs = times.length >= MOST_TIMES ? (times.at(-1)?.atMs ?? limitMs) : limitMs;
  /** Times that have come, and whose counts may be there, but that are not due yet. */
  const more = (compileSchedule(view.definition).next(untilMs)?.atMs ?? Infinity) <= nowMs;
  return { times, untilMs, changedAtMs, more };
}

function jitterOf({ definition }: ScheduleView): number {
  return definition?.jitter === undefined ? 0 : parseDuration(definition.jitter);
}

function holiday({ atMs, skipped }: FireTime): Pick<SkippedTime, 'atMs' | 'reason' | 'text'> {
  const name = skipped?.name === undefined ? '' : `, ${skipped.name}`;
  return { atMs, reason: 'holiday', text: `The schedule leaves out ${skipped?.date ?? 'this day'}${name}.` };
}

/** Gives every missing time its reason: what was seen of runs, the server's counts, and whether the schedule was paused. */
function explain(
  missing: readonly FireTime[],
  { view, runs, nowMs, retentionMs }: Accounting,
  {
    known,
    pausedToMs = -Infinity,
  }: { readonly known: ScheduleAccount | undefined; readonly pausedToMs?: number },
): { readonly skipped: readonly SkippedTime[]; readonly counted: SkipCounts } {
  const counted = { ...(known?.counted ?? NO_COUNTS) };
  const left = (key: keyof SkipCounts) => view.counts[key] - counted[key] > 0;
  const note = view.note === undefined ? '' : ` (${view.note})`;
  const skipped = missing.map(({ atMs }): SkippedTime => {
    const say = (reason: SkipReason, text: string) => ({ atMs, reason, text, recordedAtMs: nowMs });
    const open = runs.find(
      (run) => run.startedAtMs <= atMs + jitterOf(view) && (run.endedAtMs ?? Infinity) > atMs,
    );
    if (atMs < nowMs - retentionMs)
      return say(
        'forgotten',
        'Temporal has forgotten what became of this time, since no worker looked for so long.',
      );
    if (open !== undefined && left('overlap')) {
      counted.overlap++;
      return say('overlap', `The run before, ${open.runId}, was still open.`);
    }
    if (left('missed')) {
      counted.missed++;
      return say('missed', 'Temporal was away for longer than the schedule catches up.');
    }
    if (atMs <= pausedToMs) return say('paused', `The schedule was paused${note}.`);
    if (left('overlap')) {
      counted.overlap++;
      return say('overlap', 'The run before was still open.');
    }
    if (left('dropped')) {
      counted.dropped++;
      return say('dropped', 'Too many times of the schedule waited for the run before.');
    }
    return say('not-started', 'Temporal started no run for it; its id may have been used before.');
  });
  return { skipped, counted };
}
