import type { Command } from '../command.js';
import { EXIT } from '../report-error.js';
import { userName } from '../user-name.js';

/** `anneal approve RUN GATE` and `anneal reject RUN GATE`: decide on what the gate shows, by its digest. */
export const approve = createDecision('approve');
export const reject = createDecision('reject');

function createDecision(decision: 'approve' | 'reject'): Command {
  return async (context, [runId = '', gate = ''], { by, comment, digest }) => {
    const client = await (await context.openProject()).client();
    const made = await client.decide({
      runId,
      gate,
      decision,
      by: by ?? userName(context.env),
      ...(comment === undefined ? {} : { comment }),
      ...(digest === undefined ? {} : { digest }),
    });
    const verb = decision === 'approve' ? 'Approved' : 'Rejected';
    context.terminal.show(
      { runId, ...made },
      () => `${verb} "${gate}" of ${runId} as ${made.by} (digest ${made.digest.slice(0, 12)}).`,
    );
    return EXIT.ok;
  };
}
