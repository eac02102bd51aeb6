import { shellWord } from '../client/run-id.js';
import type { CommandOptions } from './command.js';

/** What a command that is proposed to a person needs to find the same project: ` --project DIR`, or nothing. */
export function projectOption({ project }: Pick<CommandOptions, 'project'>): string {
  return project === undefined ? '' : ` --project ${shellWord(project)}`;
}
