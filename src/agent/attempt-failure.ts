import { statfs } from 'node:fs/promises';

import { hasErrorCode } from '../adapters/file-store/store-errors.js';
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
  if (hasErrorCode(error, 'ENOSPC', 'EDQUOT'))
    return {
      code: 'DiskFull',
      message: `Step "${step}": the disk of the attempt's directory is full (${reason}). Free space on it.`,
    };
  return { code: 'Unknown', message: `Step "${step}" could not be run: ${reason}.` };
}

/** Less than this, and next to nothing can be written. */
const FULL_BYTES = 64 * 1024;

/** A command that failed while its disk was full failed by that, whatever it said: perhaps it could not even write that into its log. */
export async function withFullDisk(failure: AttemptFailure, directory: string): Promise<AttemptFailure> {
  if (failure.code !== 'StepFailed' && failure.code !== 'StepRefused') return failure;
  const disk = await statfs(directory).catch(() => undefined);
  if (disk === undefined || disk.bavail * disk.bsize >= FULL_BYTES) return failure;
  const message = `${failure.message} The disk of the attempt's directory is full. Free space on it.`;
  return { ...failure, code: 'DiskFull', message };
}
