import type { Client } from '@temporalio/client';
import { setTimeout as wait } from 'node:timers/promises';
import { AnnealError } from '../core/failures.js';

/** A build as Temporal's worker versioning knows it. */
export interface DeployedBuild {
  /** Deployment name: the project. */
  readonly project: string;
  /** Build id: the bundle's digest. */
  readonly digest: string;
}

const PATIENCE_MS = 60_000;

/** Sends new runs to a build. The server knows a version only once a worker of it has polled, so this waits for that. */
export async function makeVersionCurrent(client: Client, { project, digest }: DeployedBuild): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    try {
      await client.workflowService.setWorkerDeploymentCurrentVersion({
        namespace: client.options.namespace,
        deploymentName: project,
        buildId: digest,
        identity: 'anneal',
        ignoreMissingTaskQueues: true,
      });
      return;
    } catch (cause) {
      if (Date.now() > deadline)
        throw new AnnealError(
          'ServerUnreachable',
          `Build ${digest.slice(0, 12)} could not be made current: ${String(cause)}`,
          { cause },
        );
      await wait(100);
    }
  }
}

/** How many runs of the project are open and pinned to a build that is not among `digests`. */
export async function countOpenRunsOutside(
  client: Client,
  project: string,
  digests: readonly string[],
): Promise<number> {
  const known = digests.map((digest) => `'${project}:${digest}'`).join(', ');
  const query = `TemporalWorkerDeployment = '${project}' AND ExecutionStatus = 'Running'`;
  const others = known === '' ? '' : ` AND TemporalWorkerDeploymentVersion NOT IN (${known})`;
  return (await client.workflow.count(query + others)).count;
}

/** Whether any run that is pinned to the build is still open. */
export async function hasOpenRuns(client: Client, { project, digest }: DeployedBuild): Promise<boolean> {
  const query = `TemporalWorkerDeploymentVersion = '${project}:${digest}' AND ExecutionStatus = 'Running'`;
  return (await client.workflow.count(query)).count > 0;
}
