import type { TrackedRun } from './ports/tracking.js';

/**
 * Where the curves of a step's run ended when an attempt began. Kept as a tag of the run, so that a worker that adopts the attempt
 * knows which points were there before it, and which are its own.
 */
export interface CurveStart {
  readonly attempt: string;
  /** Last step of each metric. */
  readonly steps: { readonly [metric: string]: number };
  /** Last step of any metric, where there are too many to list. */
  readonly atLeast?: number;
}

/** Hidden by MLflow's UI. */
export const CURVE_TAG = 'mlflow.anneal.curveStart';

/** Values of MLflow's tags are cut off at 8,000 characters. */
const TAG_LIMIT = 6_000;

/** The recorded start where the attempt began already, else what the run holds now. */
export function startCurve(run: TrackedRun, attempt: string): CurveStart {
  const recorded = readCurveStart(run);
  if (recorded.attempt === attempt) return recorded;
  const steps = Object.fromEntries(Object.entries(run.latest).map(([metric, { step }]) => [metric, step]));
  const start = { attempt, steps };
  if (JSON.stringify(start).length <= TAG_LIMIT) return start;
  return { attempt, steps: {}, atLeast: Math.max(...Object.values(steps)) };
}

/** The start that the run's tag holds; one of no attempt where there is none. */
export function readCurveStart({ tags }: Pick<TrackedRun, 'tags'>): CurveStart {
  const text = tags[CURVE_TAG];
  return text === undefined ? { attempt: '', steps: {} } : (JSON.parse(text) as CurveStart);
}
