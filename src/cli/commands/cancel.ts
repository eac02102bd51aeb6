import { shellWord } from '../../client/run-id.js';
import type { Command } from '../command.js';
import { EXIT, EXIT_INTERRUPTED } from '../report-error.js';
import { paintState } from '../run-text.js';

/** `anneal cancel RUN`: asks it to stop and waits until everything of it has ended. Ctrl-C stops waiting, not cancelling. */
export const cancel: Command = async (context, [runId = '']) => {
  const { terminal } = context;
  const client = await (await context.openProject()).client();
  return await context.interruptible(async (signal) => {
    let asked = false;
    try {
      const report = await client.cancel(runId, {
        signal,
        onAsked: () => {
          asked = true;
          terminal.line(terminal.colors.dim(`Cancelling ${runId}; its steps get time to stop.`));
        },
        onNotice: (notice) => terminal.error(terminal.colors.yellow(notice)),
      });
      terminal.show(
        { runId, state: report.state },
        () => `${runId}: ${paintState(report.state, terminal.colors)}`,
      );
      return EXIT.ok;
    } catch (error) {
      // A server that did not answer was not asked, whatever was pressed meanwhile.
      if (!signal.aborted || (!asked && error !== signal.reason)) throw error;
      terminal.error(
        asked
          ? `${runId} is being cancelled; see: anneal describe ${shellWord(runId)}`
          : `${runId} was not asked to stop.`,
      );
      return EXIT_INTERRUPTED;
    }
  });
};
