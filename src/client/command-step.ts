import { randomUUID } from 'node:crypto';
import { AnnealError, type FailureCode } from '../core/failures.js';
import type { Json } from '../core/json.js';
import { COMMAND_STEP, type CommandAnswer, type CommandRequest } from '../core/step-command.js';
import type { ArgumentsOf } from '../pipeline/slots.js';
import type { StepCommand } from '../pipeline/define-command.js';
import type { ClientDeps } from './client-deps.js';
import { updateRun } from './control-run.js';

/** A command for a step that runs. */
export interface CommandStepOptions<P = { readonly [name: string]: Json }> {
  /** Name of the step, or of one call of it. */
  readonly step: string | { readonly stepName: string };
  /** The command that the step declares, or its name. */
  readonly command: string | StepCommand<P>;
  readonly parameters?: ArgumentsOf<P> | { readonly [name: string]: Json };
  readonly by: string;
  /** The same command sent again with the same id is carried out once. Default: a new one. */
  readonly id?: string;
}

/** Time that delivering may take beside the step's own time to answer. */
const ANSWER_MS = 90_000;

/**
 * Sends a command to a running step and waits for its answer, as long as the command's `answerWithin`.
 * @throws AnnealError InvalidInput for a step that does not run or takes no such command, or wrong parameters; WorkerUnavailable.
 */
export async function commandStep<P>(
  deps: ClientDeps,
  runId: string,
  { step, command, parameters, by, id = randomUUID() }: CommandStepOptions<P>,
): Promise<CommandAnswer> {
  const argument: CommandRequest = {
    step: typeof step === 'string' ? step : step.stepName,
    command: typeof command === 'string' ? command : command.commandName,
    by,
    id,
    ...(parameters === undefined ? {} : { parameters: parameters }),
  };
  try {
    return await updateRun<CommandAnswer>(deps, runId, {
      ...{ name: COMMAND_STEP, argument },
      ...{ updateId: `command-${id}`, timeoutMs: ANSWER_MS },
    });
  } catch (error) {
    throw error instanceof AnnealError && PERHAPS_SENT.has(error.code) ? perhapsSent(id, error) : error;
  }
}

const PERHAPS_SENT: ReadonlySet<FailureCode> = new Set(['WorkerUnavailable', 'ServerUnreachable']);

/** Sent again under another id it would be another command. */
function perhapsSent(id: string, cause: AnnealError): AnnealError {
  return new AnnealError(
    cause.code,
    `${cause.message} The command may be on its way all the same: sent again with --id ${id} it is carried out once.`,
    { cause },
  );
}
