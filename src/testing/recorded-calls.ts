import type { ArtifactRef } from '../core/artifacts.js';
import type { FailureCode, FailureInfo } from '../core/failures.js';
import type { Json } from '../core/json.js';
import type { Resources } from '../core/step.js';

/** One call that the pipeline made, as a test looks at it. */
export interface RecordedCall {
  readonly kind: 'step' | 'task' | 'approval' | 'pipeline' | 'model' | 'sleep' | 'dataset';
  /** The call's name: the step's or task's, or that of the call's options; the gate of an approval. */
  readonly name: string;
  /** The step's name; for other kinds the name. */
  readonly step: string;
  /** The pipeline that made the call; another than the test's in a sub-pipeline. */
  readonly pipeline: string;
  readonly state: 'running' | 'succeeded' | 'failed' | 'cancelled';
  /** Attempts so far. */
  readonly attempts: number;
  /** Codes of the attempts that failed. */
  readonly failures: readonly FailureCode[];
  readonly parameters: { readonly [name: string]: Json };
  /** Artifacts that a step was given. */
  readonly inputs: { readonly [name: string]: ArtifactRef };
  /** As asked by the last attempt. */
  readonly resources: Resources;
  /** Virtual milliseconds since the start of the run. */
  readonly startedMs: number;
  readonly endedMs?: number;
  /** Why it failed for good. */
  readonly failure?: FailureInfo;
}

type Changes = { -readonly [k in keyof RecordedCall]: RecordedCall[k] };

/** What a new call is; the rest has defaults. */
export type NewCall = Pick<RecordedCall, 'kind' | 'name' | 'pipeline'> & Partial<RecordedCall>;

/** Calls in the order in which they were made. */
export class CallRecorder {
  readonly calls: Changes[] = [];
  private readonly elapsedMs: () => number;

  constructor(elapsedMs: () => number) {
    this.elapsedMs = elapsedMs;
  }

  /** Records a call while `work` goes on; `work` may change it. */
  async during<T>(
    call: NewCall,
    work: (call: Changes) => Promise<T>,
    readEnd: (error: unknown) => Partial<RecordedCall>,
  ): Promise<T> {
    const recorded: Changes = {
      step: call.name,
      state: 'running',
      attempts: 1,
      failures: [],
      parameters: {},
      inputs: {},
      resources: {},
      startedMs: this.elapsedMs(),
      ...call,
    };
    this.calls.push(recorded);
    try {
      const value = await work(recorded);
      Object.assign(recorded, { state: 'succeeded', endedMs: this.elapsedMs() });
      return value;
    } catch (error) {
      Object.assign(recorded, { state: 'failed', endedMs: this.elapsedMs(), ...readEnd(error) });
      throw error;
    }
  }
}
