import type { CommandOptions } from './command.js';
import type { Project } from './context.js';
import { projectOption } from './project-option.js';
import type { StartedParts } from './start-stack.js';
import type { Terminal } from './terminal.js';

/** Stops what a foreground command started; what another one started, `anneal up` or a second `npm start`, goes on. */
export async function stopStack(
  project: Project,
  {
    terminal,
    parts,
    options,
  }: { readonly terminal: Terminal; readonly parts: StartedParts; readonly options: CommandOptions },
): Promise<void> {
  const { stack } = project;
  await project.close();
  if (parts.worker !== undefined) {
    terminal.line(terminal.colors.dim('Stopping the worker; running steps get time for a checkpoint ...'));
    // Where another worker serves by now, the attempts are its own.
    if ((await stack.stopWorker(parts.worker)) || !(await stack.running()).worker) {
      const ended = await stack.endAttempts();
      if (ended.length > 0) terminal.line(terminal.colors.dim(`  ended ${ended.join(', ')}`));
    }
  }
  if (parts.servers && !(await stack.running()).worker) await stack.stopServers();
  const left = parts.found ? await stack.running() : { servers: false, worker: false };
  const names = [...(left.servers ? ['servers'] : []), ...(left.worker ? ['worker'] : [])];
  if (names.length > 0)
    terminal.line(
      terminal.colors.dim(
        `The ${names.join(' and ')} that ran before this command go on. Stop them with: anneal down${projectOption(options)}`,
      ),
    );
}
