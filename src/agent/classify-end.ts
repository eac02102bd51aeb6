import { lastLineSentence } from '../adapters/attempt-files/log-tail.js';
import type { AttemptSpec } from '../adapters/process-executor/attempt-spec.js';
import { formatDuration } from '../core/duration.js';
import { failureCodeOfExit } from '../core/failures.js';
import { formatBytes } from '../core/quantity.js';
import type { AttemptFailure } from './attempt-failure.js';
import { commandRefusal } from './command-refusal.js';
import type { MemoryUse } from './limit-memory.js';
import type { CommandEnd } from './run-command.js';
import type { Stop } from './stop-requests.js';

/** What is known of a command that ended. */
export interface EndedCommand {
  readonly end: CommandEnd;
  readonly logTail: readonly string[];
  /** Absent where this machine cannot tell. */
  readonly memory?: MemoryUse;
}

/** Of an attempt, what its end is judged by. */
export type EndedAttempt = Pick<AttemptSpec, 'request' | 'unclaimedMs'>;

/** What the end of a command means; `undefined`: it succeeded, if its outputs are there. */
export function classifyEnd(
  spec: EndedAttempt,
  { end, logTail, memory }: EndedCommand,
): AttemptFailure | undefined {
  const { step, timeoutMs } = spec.request;
  const how = {
    ...(end.exitCode === undefined ? {} : { exitCode: end.exitCode }),
    ...(end.signal === undefined ? {} : { signal: end.signal }),
  };
  const last = lastLineSentence(logTail);
  if (end.endedBy === 'timeout')
    return {
      ...how,
      code: 'StepTimedOut',
      message: `Step "${step}" ran longer than its timeout of ${formatDuration(timeoutMs ?? 0)}. Raise timeout: of the step.${last}`,
    };
  if (end.endedBy !== undefined) return { ...how, ...stoppedFailure(spec, end.endedBy) };
  if (end.exitCode === 0) return undefined;
  if (memory !== undefined && memory.kills > 0)
    return { ...how, code: 'OutOfMemory', message: `${outOfMemory(step, end, memory)}${last}` };
  const refused = commandRefusal(step, end.exitCode, logTail);
  if (refused) return { ...how, ...refused };
  const signal = end.signal ?? SIGNAL_CODES[end.exitCode ?? 0];
  if (signal === undefined)
    return {
      ...how,
      code: failureCodeOfExit(end.exitCode ?? 1),
      message: `Step "${step}" ended with exit code ${end.exitCode ?? 1}.${last}`,
    };
  const why =
    signal === 'SIGKILL'
      ? 'was killed (SIGKILL), perhaps out of memory: Anneal did not send it'
      : `was ended by ${signal}, which Anneal did not send`;
  return { ...how, code: 'AttemptKilled', message: `Step "${step}" ${why}.${last}` };
}

/** The kernel's own limit and the machine's are mended in different ways. */
function outOfMemory(step: string, end: CommandEnd, { limitBytes, atLimit }: MemoryUse): string {
  const how = end.signal ?? `exit code ${end.exitCode ?? 1}`;
  return limitBytes !== undefined && atLimit
    ? `Step "${step}" ran out of memory (limit ${formatBytes(limitBytes)}, ${how}). Raise resources.memory or set retry.outOfMemory.`
    : `Step "${step}" was killed because this machine ran out of memory (${how}). Lower what runs beside it, or give resources.memory so that it goes to a pool that has enough.`;
}

/** A shell says with 128 and the number that a signal ended what it ran. Of others, 139 say, the command itself is the cause. */
const SIGNAL_CODES: { readonly [exitCode: number]: string } = { 137: 'SIGKILL', 143: 'SIGTERM' };

/** An attempt that was ended on purpose, as a failure. */
export function stoppedFailure(spec: EndedAttempt, by: Stop['by']): AttemptFailure {
  const { step } = spec.request;
  switch (by) {
    case 'request':
      return { code: 'AttemptKilled', message: `Step "${step}" was stopped on request.` };
    case 'signal':
      return {
        code: 'AttemptKilled',
        message: `Step "${step}" was stopped because its supervisor was told to end.`,
      };
    case 'unclaimed':
      return {
        code: 'AttemptLost',
        message: `Step "${step}" was stopped because no worker had watched it for ${formatDuration(spec.unclaimedMs)}. Start a worker of its pool.`,
      };
  }
}
