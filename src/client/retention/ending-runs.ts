import { endingUnits, type RunVerdict, type StoredRun } from '../../core/retention.js';
import type { SurveyedRun } from './survey-store.js';

/** A run that goes, or of which something goes. */
export interface EndingRun {
  readonly executionId: string;
  readonly runId?: string;
  readonly pipeline?: string;
  readonly endedAtMs: number;
  /** `everything`: but for units that others use; `checkpoints`: the run itself is kept. */
  readonly what: 'everything' | 'checkpoints';
  readonly sizeBytes: number;
  readonly objects: number;
}

/** The runs that go, and those whose checkpoints do; the one that ended first comes first. */
export function endingRuns(
  surveyed: readonly SurveyedRun[],
  of: {
    readonly runs: readonly StoredRun[];
    readonly verdicts: ReadonlyMap<string, RunVerdict>;
    readonly referenced: ReadonlySet<string>;
    readonly checkpointsBeforeMs: number;
  },
): EndingRun[] {
  const known = new Map(of.runs.map((run) => [run.executionId, run]));
  const endings = surveyed.flatMap((run): EndingRun[] => {
    const { executionId, units } = run;
    const { runId, pipeline, endedAtMs = 0 } = known.get(executionId) ?? {};
    const verdict = of.verdicts.get(executionId);
    const isOver = verdict !== 'live' && verdict !== 'held' && endedAtMs <= of.checkpointsBeforeMs;
    const checkpoints = `runs/${executionId}/checkpoints`;
    const what = verdict === 'expired' ? 'everything' : 'checkpoints';
    const ending =
      what === 'everything'
        ? endingUnits(executionId, units.keys(), of.referenced)
        : new Set(
            isOver && (units.get(checkpoints)?.newestMs ?? Infinity) <= of.checkpointsBeforeMs
              ? [checkpoints]
              : [],
          );
    const amounts = [...ending].flatMap((unit) => units.get(unit) ?? []);
    if (amounts.length === 0) return [];
    return [
      {
        ...{ executionId, endedAtMs, what },
        ...(runId === undefined ? {} : { runId }),
        ...(pipeline === undefined ? {} : { pipeline }),
        sizeBytes: amounts.reduce((total, { sizeBytes }) => total + sizeBytes, 0),
        objects: amounts.reduce((total, { objects }) => total + objects, 0),
      },
    ];
  });
  return endings.sort((a, b) => a.endedAtMs - b.endedAtMs);
}
