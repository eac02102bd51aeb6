import type { Command } from '../command.js';
import { EXIT } from '../report-error.js';

/** `anneal down`: stops the worker, then the attempts (after a checkpoint), then the servers. Open runs go on after the next `up`. */
export const down: Command = async (context) => {
  const { stack } = await context.openProject();
  const { terminal } = context;
  const worker = await stack.stopWorker();
  const attempts = await stack.endAttempts();
  const servers = await stack.stopServers();
  terminal.show({ worker, attempts, servers }, () => {
    const parts = [
      ...(worker ? ['the worker'] : []),
      ...(attempts.length === 0
        ? []
        : [`${attempts.length} running ${attempts.length === 1 ? 'attempt' : 'attempts'}`]),
      ...servers.map((name) => (name === 'mlflow' ? 'MLflow' : 'Temporal')),
    ];
    return parts.length === 0
      ? 'Nothing was running.'
      : `Stopped ${parts.join(', ')}. Open runs go on after the next: anneal up`;
  });
  return EXIT.ok;
};
