import { defineQuery, defineUpdate, setHandler } from '@temporalio/workflow';
import {
  BACKFILL_ADD,
  BACKFILL_CANCEL,
  BACKFILL_PAUSE,
  BACKFILL_PROGRESS,
  BACKFILL_RESUME,
  BACKFILL_RETRY,
  MOST_CONCURRENCY,
  type BackfillProgress,
  type BackfillRange,
} from '../core/backfill.js';
import type { BackfillWork } from './backfill-work.js';
import { toFailure } from './failures.js';

/** What people ask of a backfill; each answers with its progress. */
export function handleBackfillMessages(work: BackfillWork): void {
  const on = (
    name: string,
    description: string,
    { act, validator = () => undefined }: { readonly act: () => void; readonly validator?: () => void },
  ) =>
    setHandler(
      defineUpdate<BackfillProgress>(name),
      () => {
        act();
        return work.progress();
      },
      { description, validator },
    );
  setHandler(defineQuery<BackfillProgress>(BACKFILL_PROGRESS), () => work.progress(), {
    description: 'How far it is',
  });
  setHandler(
    defineUpdate<BackfillProgress, [BackfillRange]>(BACKFILL_ADD),
    (range) => {
      work.add(range);
      return work.progress();
    },
    {
      description: 'More partitions: {"project","keys":[...],"again":false,"params":{},"concurrency"?}',
      validator: (range) => {
        const refusal = refusalOf(work, range);
        if (refusal !== undefined) throw toFailure('InvalidInput', refusal);
      },
    },
  );
  on(BACKFILL_PAUSE, 'Start nothing new', { act: () => work.pause(true) });
  on(BACKFILL_RESUME, 'Go on', { act: () => work.pause(false) });
  on(BACKFILL_CANCEL, 'Start nothing more, and cancel what is under way', { act: () => work.cancel() });
  on(BACKFILL_RETRY, 'Make the failed partitions again', {
    act: () => work.retryFailed(),
    validator: () => {
      if (work.cancelling) throw toFailure('InvalidInput', beingCancelled(work));
    },
  });
}

/** Why a range is not taken. */
function refusalOf(work: BackfillWork, range: BackfillRange): string | undefined {
  const { project, pipeline } = work.state;
  if (range.project !== project)
    return `This backfill of ${pipeline} is of project "${project}", not of "${range.project}". Wait until it has ended, or use another namespace.`;
  if (work.cancelling) return beingCancelled(work);
  if (!Array.isArray(range.keys) || range.keys.some((key) => typeof key !== 'string' || key === ''))
    return 'Its keys must be a list of texts.';
  const { concurrency = 1 } = range;
  return Number.isInteger(concurrency) && concurrency >= 1 && concurrency <= MOST_CONCURRENCY
    ? undefined
    : `concurrency ${String(concurrency)} is no whole number from 1 to ${MOST_CONCURRENCY}.`;
}

function beingCancelled({ state }: BackfillWork): string {
  return `The backfill of ${state.pipeline} is being cancelled. Wait until it has ended.`;
}
