// Starts a run: node --import tsx examples/client/start.ts RUN [PIPELINE] [PARAMETERS AS JSON]
import { connect, taskQueue } from './connect.js';

const [runId, pipeline = 'churn-training', parameters = '{}'] = process.argv.slice(2);
if (runId === undefined)
  throw new Error('Name the run: it is the workflow id, and refused when it was used before.');

const client = await connect();
try {
  // The pipeline's name is the workflow type; its parameters are the one argument. A wrong one fails the run at once, by name.
  const handle = await client.workflow.start(pipeline, {
    workflowId: runId,
    taskQueue,
    args: [JSON.parse(parameters)],
    workflowIdReusePolicy: 'REJECT_DUPLICATE',
  });
  console.log(`started ${handle.workflowId}, execution ${handle.firstExecutionRunId}`);
} finally {
  await client.connection.close();
}
