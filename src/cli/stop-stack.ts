import type { Project, StackState } from './context.js';
import type { Terminal } from './terminal.js';

/** Stops what a foreground command started; what ran before it, because of `anneal up`, goes on in the background. */
export async function stopStack(
  project: Project,
  { terminal, before }: { readonly terminal: Terminal; readonly before: StackState },
): Promise<void> {
  await project.close();
  if (before.worker) return;
  terminal.line(terminal.colors.dim('Stopping the worker; running steps get time for a checkpoint ...'));
  await project.stack.stopWorker();
  const ended = await project.stack.endAttempts();
  if (ended.length > 0) terminal.line(terminal.colors.dim(`  ended ${ended.join(', ')}`));
  if (!before.servers) await project.stack.stopServers();
}
