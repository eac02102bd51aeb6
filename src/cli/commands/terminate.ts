import type { Command } from '../command.js';
import { EXIT } from '../report-error.js';
import { userName } from '../user-name.js';
import { paintState } from '../run-text.js';

/** `anneal terminate RUN`: ends it and what of it runs on this machine; a run that had ended before is left as it is. */
export const terminate: Command = async (context, [runId = ''], { reason }) => {
  const { terminal } = context;
  const project = await context.openProject();
  const client = await project.client();
  const report = await client.terminate(
    runId,
    reason ?? `by ${userName(context.env)} with "anneal terminate"`,
  );
  // No code of the run is left that could end them; workers of other machines do it for theirs.
  const attempts = await project.stack.endAttemptsOf(runId);
  terminal.show({ runId, state: report.state, attempts }, () => {
    const ended = attempts.length === 0 ? '' : `; ended ${attempts.join(', ')}`;
    return `${runId}: ${paintState(report.state, terminal.colors)}${ended}`;
  });
  return EXIT.ok;
};
