// Starts a run: node --import tsx examples/client/start.ts RUN [PIPELINE] [PARAMETERS AS JSON]
import { taskQueue, withClient } from './connect.js';

const [runId, pipeline = 'churn-training', parameters = '{}'] = process.argv.slice(2);

await withClient(async (client) => {
  if (runId === undefined)
    throw new Error('Name the run: it is the workflow id, and refused when it was used before.');
  // The pipeline's name is the workflow type; its parameters are the one argument. A wrong one fails the run at once, by name.
  const handle = await client.workflow.start(pipeline, {
    workflowId: runId,
    taskQueue,
    args: [JSON.parse(parameters)],
    workflowIdReusePolicy: 'REJECT_DUPLICATE',
  });
  console.log(`started ${handle.workflowId}, execution ${handle.firstExecutionRunId}`);
});
