import type { Command as Commander } from 'commander';
import type { Command, CommandOptions } from './command.js';

/** Runs a chosen command; the program itself does nothing but choose. */
export type RunCommand = (
  load: () => Promise<Command>,
  args: readonly string[],
  options: CommandOptions,
) => Promise<void>;

/** Adds a command with the options that all have. */
export type Add = (usage: string, description: string, load: () => Promise<Command>) => Commander;

/** Adds commands below a parent. */
export function createAdder(parent: Commander, run: RunCommand): Add {
  return (usage, description, load) =>
    parent
      .command(usage)
      .description(description)
      .option('--json', 'one JSON document on stdout; errors as {"error":{"code","message"}}')
      .option('--project <path>', 'anneal.yaml or its directory (default: found from here upward)')
      .action(async (...given: unknown[]) => {
        const command = given.at(-1) as Commander;
        await run(
          load,
          command.processedArgs.flat().filter((arg): arg is string => typeof arg === 'string'),
          command.opts<CommandOptions>(),
        );
      });
}

/** Command lines that help ends with. */
export function examples(...lines: string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ ${line}`).join('\n')}`;
}
