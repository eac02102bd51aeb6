import type { Client } from '@temporalio/client';
import { setTimeout as wait } from 'node:timers/promises';
import { AnnealError } from '../core/failures.js';
import { pipelinesTaskQueue } from '../core/run.js';
import type { Routing } from './current-build.js';
import { isSameRamp } from './deploy-build.js';

/** A build as Temporal's worker versioning knows it. */
export interface DeployedBuild {
  /** Deployment name: the project. */
  readonly project: string;
  /** Build id: the bundle's digest. */
  readonly digest: string;
}

const PATIENCE_MS = 60_000;

/**
 * Makes the server send new runs where they are to go. It knows a version only once a worker of it has polled, so this waits for that.
 * @throws AnnealError ServerUnreachable.
 */
export async function routeNewRuns(
  client: Client,
  project: string,
  { current, ramp }: Routing,
): Promise<void> {
  const service = client.workflowService;
  const about = { namespace: client.options.namespace, deploymentName: project, identity: 'anneal' };
  const ignoreMissingTaskQueues = true;
  await untilKnown(`Build ${current.slice(0, 12)} could not be made current`, async () => {
    await service.setWorkerDeploymentCurrentVersion({ ...about, buildId: current, ignoreMissingTaskQueues });
  });
  const set = await readServerRouting(client, project);
  if (isSameRamp(set?.ramp, ramp)) return;
  const { digest: buildId = '', percent: percentage = 0 } = ramp ?? {};
  await untilKnown(
    `The ramp of ${percentage} % to build ${buildId.slice(0, 12)} could not be set`,
    async () => {
      await service.setWorkerDeploymentRampingVersion({
        ...about,
        ...{ buildId, percentage, ignoreMissingTaskQueues },
      });
    },
  );
}

/** Where the server sends new runs now; undefined where it knows no version of the project. */
export async function readServerRouting(client: Client, project: string): Promise<Routing | undefined> {
  const { namespace } = client.options;
  const found = await client.workflowService
    .describeWorkerDeployment({ namespace, deploymentName: project })
    .catch((error: unknown) => {
      if (isNotFound(error)) return undefined;
      throw error;
    });
  const routing = found?.workerDeploymentInfo?.routingConfig;
  const current = routing?.currentDeploymentVersion?.buildId ?? '';
  const ramping = routing?.rampingDeploymentVersion?.buildId ?? '';
  if (current === '') return undefined;
  return {
    current,
    ...(ramping === '' ? {} : { ramp: { digest: ramping, percent: routing?.rampingVersionPercentage ?? 0 } }),
  };
}

const NOT_FOUND = 5;

function isNotFound(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === NOT_FOUND;
}

async function untilKnown(what: string, set: () => Promise<void>): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    try {
      return await set();
    } catch (cause) {
      if (Date.now() > deadline)
        throw new AnnealError('ServerUnreachable', `${what}: ${String(cause)}`, { cause });
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
  return (await client.workflow.count(openRunsOutside(project, digests))).count;
}

function openRunsOutside(project: string, digests: readonly string[]): string {
  const known = digests.map((digest) => `'${project}:${digest}'`).join(', ');
  const query = `TemporalWorkerDeployment = '${project}' AND ExecutionStatus = 'Running'`;
  return known === '' ? query : `${query} AND TemporalWorkerDeploymentVersion NOT IN (${known})`;
}

/** Builds beside `digests` that open runs of the project are pinned to: one run of each is looked at. */
export async function listOpenBuildsOutside(
  client: Client,
  project: string,
  digests: readonly string[],
): Promise<string[]> {
  const found: string[] = [];
  for (;;) {
    const query = openRunsOutside(project, [...digests, ...found]);
    let next: string | undefined;
    for await (const { searchAttributes } of client.workflow.list({ query, pageSize: 1 })) {
      const [version] = searchAttributes['TemporalWorkerDeploymentVersion'] ?? [];
      if (typeof version === 'string') next = version.slice(project.length + 1);
      break;
    }
    if (next === undefined || found.includes(next)) return found;
    found.push(next);
  }
}

/** A worker that is alive asks at least once a minute; the server remembers dead ones for five. */
const POLLER_ALIVE_MS = 75_000;
const TASK_QUEUE_TYPE_WORKFLOW = 1;

/** Builds whose workers ask for work. */
export async function listHostedBuilds(client: Client, project: string, nowMs: number): Promise<string[]> {
  const { pollers } = await client.workflowService.describeTaskQueue({
    namespace: client.options.namespace,
    taskQueue: { name: pipelinesTaskQueue(project) },
    taskQueueType: TASK_QUEUE_TYPE_WORKFLOW,
  });
  const alive = (pollers ?? []).filter(
    ({ lastAccessTime }) => nowMs - Number(lastAccessTime?.seconds ?? 0) * 1_000 < POLLER_ALIVE_MS,
  );
  return [...new Set(alive.flatMap(({ deploymentOptions }) => deploymentOptions?.buildId ?? []))];
}

/** Whether any run that is pinned to the build is still open. */
export async function hasOpenRuns(client: Client, { project, digest }: DeployedBuild): Promise<boolean> {
  const query = `TemporalWorkerDeploymentVersion = '${project}:${digest}' AND ExecutionStatus = 'Running'`;
  return (await client.workflow.count(query)).count > 0;
}
