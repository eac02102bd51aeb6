import { shellWord, type RetriedRun } from '../client/index.js';
import type { CommandContext } from './command.js';

/** A run that was started to take up another one's work, in one sentence. */
export function retriedText(
  { runId, retryOf, adopted }: RetriedRun,
  colors: CommandContext['terminal']['colors'],
): string {
  return `${colors.green('Started')} ${runId}, which takes up ${adopted} finished ${adopted === 1 ? 'call' : 'calls'} of ${retryOf}. Look: anneal describe ${shellWord(runId)}`;
}
