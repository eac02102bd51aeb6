import { Client, Connection } from '@temporalio/client';

/** The project of anneal.yaml; its pipelines are served on the task queue `<project>/pipelines`. */
export const taskQueue = process.env['TASK_QUEUE'] ?? 'churn/pipelines';

/** A client of the server that `anneal up` names; nothing here knows Anneal. */
export async function connect(): Promise<Client> {
  const address = process.env['TEMPORAL_ADDRESS'] ?? '127.0.0.1:7233';
  const namespace = process.env['TEMPORAL_NAMESPACE'] ?? 'default';
  return new Client({ connection: await Connection.connect({ address }), namespace });
}
