import {
  Client,
  Connection,
  WorkflowExecutionAlreadyStartedError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
} from '@temporalio/client';

/** The project of anneal.yaml; its pipelines are served on the task queue `<project>/pipelines`. */
export const taskQueue = process.env['TASK_QUEUE'] ?? 'churn/pipelines';

const address = process.env['TEMPORAL_ADDRESS'] ?? '127.0.0.1:7233';
const namespace = process.env['TEMPORAL_NAMESPACE'] ?? 'default';

/** Runs a script with a client of the server that `anneal up` names; nothing here knows Anneal. What goes wrong is one sentence. */
export async function withClient(script: (client: Client) => Promise<void>): Promise<void> {
  let connection: Connection | undefined;
  try {
    connection = await Connection.connect({ address });
    await script(new Client({ connection, namespace }));
  } catch (error) {
    console.error(
      connection ? explain(error) : `Temporal does not answer at ${address}; set TEMPORAL_ADDRESS.`,
    );
    process.exitCode = 1;
  } finally {
    await connection?.close();
  }
}

function explain(error: unknown): string {
  if (error instanceof WorkflowNotFoundError)
    return `There is no run "${error.workflowId}" that could be asked; namespace "${namespace}" at ${address} was searched.`;
  if (error instanceof WorkflowExecutionAlreadyStartedError)
    return `The run id "${error.workflowId}" was used before; choose another one.`;
  // What a run's validator refuses says why itself.
  const cause = error instanceof WorkflowUpdateFailedError ? error.cause : error;
  return cause instanceof Error ? cause.message : String(cause);
}
