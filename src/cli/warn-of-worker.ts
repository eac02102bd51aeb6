import type { Project } from './context.js';
import type { Terminal } from './terminal.js';

/** Says on stderr, in one line, that the project's worker in the background has died. */
export async function warnOfWorker(
  { stack }: { readonly stack: Pick<Project['stack'], 'workerProblem'> },
  terminal: Terminal,
): Promise<void> {
  const problem = await stack.workerProblem();
  if (problem !== undefined) terminal.error(terminal.colors.yellow(problem));
}
