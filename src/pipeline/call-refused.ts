import type { FailureCode } from '../core/failures.js';

/** A call that the code of a run made with what it does not take; fails the run with that code unless the code catches it. */
export class CallRefused extends TypeError {
  /** Named as Temporal's failures name it. */
  readonly type: FailureCode = 'InvalidInput';
}
