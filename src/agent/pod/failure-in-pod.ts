import { programFault, programFaultSentence } from '../../core/program-fault.js';
import { failureOfError, type AttemptFailure } from '../attempt-failure.js';

/**
 * An error of a program of ours in a pod as a failure of the step. A fault of the program itself is that of its image: no other attempt would get
 * further.
 * @param step absent: it is not known yet which one it is.
 */
export function failureInPod(
  error: unknown,
  { container, step }: { readonly container: string; readonly step: string | undefined },
): AttemptFailure {
  const fault = programFault(error);
  if (fault !== undefined) {
    const message = programFaultSentence(container, fault);
    return { code: 'InvalidConfig', message: step === undefined ? message : `Step "${step}": ${message}` };
  }
  if (step !== undefined) return failureOfError(step, error);
  const known = failureOfError('', error);
  const message = error instanceof Error ? error.message : String(error);
  return { ...known, message: /[.!?]$/.test(message) ? message : `${message}.` };
}
