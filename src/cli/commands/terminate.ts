import { userInfo } from 'node:os';
import type { Command } from '../command.js';
import { EXIT } from '../report-error.js';
import { paintState } from '../run-text.js';

/** `anneal terminate RUN`: ends it at once; a run that had ended before is left as it is. */
export const terminate: Command = async (context, [runId = ''], { reason }) => {
  const { terminal } = context;
  const client = await (await context.openProject()).client();
  const report = await client.terminate(runId, reason ?? `by ${userInfo().username} with "anneal terminate"`);
  terminal.show(
    { runId, state: report.state },
    () => `${runId}: ${paintState(report.state, terminal.colors)}`,
  );
  return EXIT.ok;
};
