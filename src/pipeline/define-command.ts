import { parseDuration } from '../core/duration.js';
import type { CommandDefinition, CommandSignal } from '../core/step-command.js';
import { checkName } from './check-name.js';
import type { AnyParameter } from './slots.js';

/** What {@link defineCommand} takes. */
export interface CommandOptionsOf<P> {
  /** Lower-case letters, digits and dashes, 63 at most. */
  readonly name: string;
  readonly description?: string;
  readonly params?: P;
  /** Sent to the command's own process when a command lies there for it, as soon as that process handles it. Default: none, it looks by itself. */
  readonly signal?: CommandSignal;
  /** Time that the step has to answer before the sender is told that the command was delivered. Default `'10s'`. */
  readonly answerWithin?: string;
}

/** A command that people send to a running training. Steps that take it name it under `commands`. */
export interface StepCommand<P> {
  readonly commandName: string;
  readonly definition: CommandDefinition;
  /** Type only; never present. */
  readonly params?: P;
}

/**
 * Defines a command into a running step: stop-early, checkpoint-now, set-learning-rate. It arrives as a file in `ANNEAL_COMMANDS_DIR`.
 * @throws TypeError when the definition itself is wrong.
 */
export function defineCommand<const P extends { readonly [name: string]: AnyParameter }>(
  options: CommandOptionsOf<P>,
): StepCommand<P> {
  const { name, description, params, signal, answerWithin = '10s' } = options;
  checkName('Command name', name);
  parseDuration(answerWithin);
  const schemas = Object.entries(params ?? {}).map(([parameter, { schema }]) => [parameter, schema] as const);
  return {
    commandName: name,
    definition: {
      name,
      params: Object.fromEntries(schemas),
      answerWithin,
      ...(description === undefined ? {} : { description }),
      ...(signal === undefined ? {} : { signal }),
    },
  };
}
