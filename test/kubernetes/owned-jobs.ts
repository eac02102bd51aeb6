import { WorkflowNotFoundError } from '@temporalio/client';
import { aJob } from './kubernetes-world.js';

/** Who asked for a Job. */
export interface Owner {
  readonly runId: string;
  readonly epoch: string;
  readonly temporalNamespace?: string;
}

/** A Job of an attempt of a run. */
export function jobOf(name: string, { runId, epoch, temporalNamespace = 'default' }: Owner) {
  const job = aJob(name);
  const annotations = {
    'anneal.dev/run-id': runId,
    'anneal.dev/epoch': epoch,
    'anneal.dev/temporal-namespace': temporalNamespace,
    'anneal.dev/stop-grace-ms': '1000',
  };
  return { ...job, metadata: { ...job.metadata, annotations } };
}

/** Temporal as the reaper asks it: runs by workflow id, each with its open execution or `closed`. */
export function runDirectory(runs: { [runId: string]: string }, down = { now: false }) {
  return {
    options: { namespace: 'default' },
    workflow: {
      getHandle: (runId: string) => ({
        describe: async () => {
          await Promise.resolve();
          if (down.now) throw new Error('Temporal is away');
          const epoch = runs[runId];
          if (epoch === undefined) throw new WorkflowNotFoundError('no such run', runId, undefined);
          return { runId: epoch, ...(epoch === 'closed' ? { closeTime: new Date(0) } : {}) };
        },
      }),
    },
  };
}
