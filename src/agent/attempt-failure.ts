import type { AttemptMemory } from '../core/artifacts.js';
import type { FailureCode } from '../core/failures.js';
import { AnnealError } from '../core/failures.js';

/** Why an attempt failed, before times and log are added. */
export interface AttemptFailure {
  readonly code: FailureCode;
  readonly message: string;
  readonly exitCode?: number;
  readonly signal?: string;
  readonly memory?: AttemptMemory;
}

/** Any error as a failure of the step: those of the failure table keep their code. */
export function failureOfError(step: string, error: unknown): AttemptFailure {
  if (error instanceof AnnealError) return { code: error.code, message: `Step "${step}": ${error.message}` };
  const reason = error instanceof Error ? error.message : String(error);
  return { code: 'Unknown', message: `Step "${step}" could not be run: ${reason}.` };
}
