// Asks a run what it does: node --import tsx examples/client/query.ts RUN
import { withClient } from './connect.js';

/** The part of the answer that is shown here; the rest is `RunStatus` of anneal/client. */
interface Status {
  readonly state: string;
  readonly calls: readonly { readonly name: string; readonly state: string; readonly detail?: string }[];
  readonly approvals: readonly { readonly gate: string; readonly digest: string }[];
  readonly result?: unknown;
}

const [runId] = process.argv.slice(2);

await withClient(async (client) => {
  if (runId === undefined) throw new Error('Name the run: its id is the workflow id.');
  // A worker of the project answers, also for a run that has ended.
  const status = await client.workflow.getHandle(runId).query<Status>('status');
  console.log(`${runId}: ${status.state}`);
  for (const { name, state, detail } of status.calls) console.log(`  ${name}  ${state}  ${detail ?? ''}`);
  for (const { gate, digest } of status.approvals)
    console.log(`  waits at ${gate} for a decision on ${digest}`);
  if (status.result !== undefined) console.log(`  result ${JSON.stringify(status.result)}`);
});
