import type { Json } from './json.js';
import { didYouMean } from './nearest-name.js';
import { checkParameters, type ParameterSchema } from './schema.js';

/** Update with which people send a command to a running attempt: a {@link CommandRequest}. */
export const COMMAND_STEP = 'command';

/** A command that a step takes while it runs. Data: it is in the build's manifest. */
export interface CommandDefinition {
  readonly name: string;
  readonly description?: string;
  readonly params: { readonly [name: string]: ParameterSchema };
  /** Sent to the command's process when a command lies there for it. */
  readonly signal?: CommandSignal;
  /** Time that the step has to answer before the sender is told that it was delivered. */
  readonly answerWithin: string;
}

/** A signal that says that a command lies there. */
export type CommandSignal = 'SIGUSR1';

/** Argument of the update. */
export interface CommandRequest {
  /** Name of the step, or of one call of it. */
  readonly step: string;
  readonly command: string;
  readonly parameters?: { readonly [name: string]: Json };
  readonly by: string;
  /** Of the request: the same one sent again is carried out once. */
  readonly id: string;
}

/** A command on its way to an attempt, checked. */
export interface AttemptCommand {
  readonly id: string;
  readonly command: string;
  readonly parameters: { readonly [name: string]: Json };
  readonly by: string;
  readonly atMs: number;
  readonly signal?: CommandSignal;
}

/**
 * What came of a command. `answered`: the step's own answer. `delivered`: it lies there for the step, which has not answered in time.
 * `waiting`: the attempt has not come to its command yet and gets it then. `ended`: the attempt had ended, nothing was delivered.
 */
export type CommandAnswer =
  | { readonly state: 'answered'; readonly number: number; readonly answer: Json }
  | { readonly state: 'delivered'; readonly number: number }
  | { readonly state: 'waiting' }
  | { readonly state: 'ended' };

/** A command that a run took, as its status shows it. */
export interface TakenCommand extends Omit<AttemptCommand, 'signal'> {
  readonly step: string;
  /** Which attempt of the call got it. */
  readonly attempt: number;
  readonly answer: CommandAnswer;
}

/** Commands that a status holds at most, the newest. */
export const SHOWN_COMMANDS = 50;

/** What is wrong with the shape of a request, before any step is looked at. */
export function problemOfRequest(given: unknown): string | undefined {
  const { step, command, by, id } = (typeof given === 'object' && given !== null ? given : {}) as {
    readonly [name: string]: unknown;
  };
  for (const [name, value] of Object.entries({ step, command, by }))
    if (typeof value !== 'string' || value === '' || value.length > TEXT_LIMIT)
      return `A command needs "${name}", a text of 1 to ${TEXT_LIMIT} characters.`;
  return typeof id === 'string' && ID.test(id)
    ? undefined
    : 'A command needs "id": 1 to 64 letters, digits, "-" or "_". The same id sent again is carried out once.';
}

const TEXT_LIMIT = 200;
/** Part of a file's name. */
const ID = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;

/** A command of a step with its parameters checked, or why there is no such. */
export function checkCommand(
  step: string,
  known: readonly CommandDefinition[],
  { command, parameters }: Pick<CommandRequest, 'command' | 'parameters'>,
):
  | {
      readonly ok: true;
      readonly definition: CommandDefinition;
      readonly values: AttemptCommand['parameters'];
    }
  | { readonly ok: false; readonly problem: string } {
  const definition = known.find(({ name }) => name === command);
  const names = known.map(({ name }) => name);
  if (!definition)
    return {
      ok: false,
      problem:
        names.length === 0
          ? `Step "${step}" takes no commands; it declares none.`
          : `Step "${step}" takes no command "${command}"; it takes ${names.map((name) => `"${name}"`).join(', ')}.${didYouMean(command, names)}`,
    };
  const checked = checkParameters(`command "${command}"`, definition.params, parameters);
  return checked.ok
    ? { ok: true, definition, values: checked.values }
    : { ok: false, problem: checked.problems.join(' ') };
}
