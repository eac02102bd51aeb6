// Decides what waits at a gate: node --import tsx examples/client/signal.ts RUN GATE approve|reject [update|signal] [BY]
import { userInfo } from 'node:os';

import { withClient } from './connect.js';

const [runId, gate, decision = 'approve', way = 'update', by = userInfo().username] = process.argv.slice(2);

await withClient(async (client) => {
  if (runId === undefined || gate === undefined) throw new Error('Name the run and the gate.');
  const run = client.workflow.getHandle(runId);
  const { approvals } = await run.query<{ approvals: readonly { gate: string; digest: string }[] }>('status');
  const open = approvals.find((approval) => approval.gate === gate);
  if (!open) {
    const waiting = approvals.map((approval) => `"${approval.gate}"`).join(', ') || 'no gate';
    throw new Error(`Run "${runId}" does not wait at "${gate}"; it waits at ${waiting}.`);
  }
  // A decision carries the digest of what was looked at: one for other bytes is refused.
  const body = { gate, digest: open.digest, decision, by };
  if (way === 'signal') {
    // For tools that cannot send updates: accepted without an answer; one that does not count is ignored.
    await run.signal('decide', body);
    console.log('sent');
  } else {
    // Judged before it enters the history: a decision that cannot count fails here, and says why.
    console.log(await run.executeUpdate('decide', { args: [body] }));
  }
});
