import { AnnealError } from '../core/failures.js';
import type { RunState } from '../core/run.js';
import { CALL_TIMEOUT_MS, type ClientDeps } from './client-deps.js';
import { describeRun } from './describe-run.js';
import { listExecutions } from './list-executions.js';
import { buildListQuery } from './list-runs.js';
import { readRunState } from './run-state.js';
import { callTemporal, classifyTemporalError } from './temporal-errors.js';

/** An open run, and the build that it is pinned to. */
export interface VersionedRun {
  readonly runId: string;
  readonly pipeline: string;
  readonly state: RunState;
}

/**
 * What a build is for: `current`, new runs use it; `ramping`, a share of them does; `draining`, runs that began with it go on; `drained`,
 * none does; `inactive`, it has never taken runs.
 */
export type VersionStatus = 'current' | 'ramping' | 'draining' | 'drained' | 'inactive';

/** One build as the server knows it. */
export interface Version {
  readonly build: string;
  readonly status: VersionStatus;
  /** Of a ramping one: its share of new runs. */
  readonly percent?: number;
  /** When new runs last began or ceased to use it. */
  readonly sinceMs?: number;
  /** How many open runs are on it. */
  readonly openRuns: number;
  /** The newest of them. */
  readonly runs: readonly VersionedRun[];
}

/** Which builds runs of the project are on. */
export interface Versions {
  /** The builds that the server knows, those of new runs first. @throws AnnealError ServerUnreachable. */
  list(options?: { readonly limit?: number }): Promise<Version[]>;
  /** How many open runs are on none of these builds. */
  countOthers(...builds: readonly string[]): Promise<number>;
  /**
   * Moves an open run to another build: its next task is handled there, and so is all that follows. Whether its history agrees with that
   * build's code is the caller's to check.
   * @throws AnnealError InvalidInput for a run that has ended or a build that no worker has hosted; RunNotFound.
   */
  migrate(runId: string, build: string): Promise<MigratedRun>;
}

/** A run that was moved. */
export interface MigratedRun {
  readonly runId: string;
  /** The build that it was on; absent for one that had not begun. */
  readonly from?: string;
  readonly to: string;
}

/** Search attribute with which the server says which version a run is on: `<deployment>:<build id>`. */
const VERSION_ATTRIBUTE = 'TemporalWorkerDeploymentVersion';
const RUNS_SHOWN = 200;

/** Makes {@link Versions}. */
export function createVersions(deps: ClientDeps): Versions {
  return {
    list: async ({ limit = RUNS_SHOWN } = {}) => await listVersions(deps, limit),
    countOthers: async (...builds) => {
      const open = `${buildListQuery(deps.project, {})} AND ExecutionStatus = 'Running'`;
      const query = [
        open,
        ...builds.map((build) => `${VERSION_ATTRIBUTE} != '${deps.project}:${build}'`),
      ].join(' AND ');
      return await callTemporal(
        deps,
        'open runs of other builds',
        async () => (await deps.temporal.workflow.count(query)).count,
      );
    },
    migrate: async (runId, build) => await migrateRun(deps, runId, build),
  };
}

/** A version without its runs. */
type Known = Omit<Version, 'openRuns' | 'runs'>;

async function listVersions(deps: ClientDeps, limit: number): Promise<Version[]> {
  const [deployment, open] = await Promise.all([describeDeployment(deps), listOpenRuns(deps, limit)]);
  // The server keeps it in four bytes, in which 33.3 is 33.29999923706055.
  const percent = Number((deployment?.routingConfig?.rampingVersionPercentage ?? 0).toPrecision(6));
  const known = (deployment?.versionSummaries ?? []).map((summary): Known => {
    const build = summary.deploymentVersion?.buildId ?? '';
    const sinceMs = toMs(summary.routingUpdateTime ?? summary.createTime);
    const status = STATUSES[Number(summary.status ?? 0)] ?? 'inactive';
    return {
      build,
      status,
      ...(status === 'ramping' ? { percent } : {}),
      ...(sinceMs === undefined ? {} : { sinceMs }),
    };
  });
  const listed = new Set(known.map(({ build }) => build));
  // The server forgets versions that nobody polls; runs may be on them all the same.
  const forgotten = [...open.keys()].filter((build) => build !== '' && !listed.has(build));
  const all: readonly Known[] = [
    ...known,
    ...forgotten.map((build) => ({ build, status: 'draining' as const })),
  ];
  const counts = await Promise.all(all.map(async ({ build }) => await countOpen(deps, build)));
  return all
    .map((version, i) => ({ ...version, openRuns: counts[i] ?? 0, runs: open.get(version.build) ?? [] }))
    .toSorted((a, b) => ORDER.indexOf(a.status) - ORDER.indexOf(b.status) || sinceOf(b) - sinceOf(a));
}

const ORDER: readonly VersionStatus[] = ['current', 'ramping', 'draining', 'inactive', 'drained'];
/** temporal.api.enums.v1.WorkerDeploymentVersionStatus. */
const STATUSES: { readonly [status: number]: VersionStatus } = {
  1: 'inactive',
  2: 'current',
  3: 'ramping',
  4: 'draining',
  5: 'drained',
};

function sinceOf({ sinceMs = 0 }: Pick<Version, 'sinceMs'>): number {
  return sinceMs;
}

async function describeDeployment({ temporal, project, clock }: ClientDeps) {
  const { namespace } = temporal.options;
  try {
    const found = await temporal.withDeadline(clock.nowMs() + CALL_TIMEOUT_MS, () =>
      temporal.workflowService.describeWorkerDeployment({ namespace, deploymentName: project }),
    );
    return found.workerDeploymentInfo ?? undefined;
  } catch (error) {
    // No worker with pipelines has ever run.
    if (classifyTemporalError(error) === 'not-found') return undefined;
    throw error;
  }
}

async function listOpenRuns(deps: ClientDeps, limit: number): Promise<Map<string, VersionedRun[]>> {
  const query = `${buildListQuery(deps.project, {})} AND ExecutionStatus = 'Running'`;
  const found = new Map<string, VersionedRun[]>();
  let seen = 0;
  const listed = { query, pageSize: Math.min(limit, 200) };
  for await (const run of listExecutions(deps, 'the list of open runs', listed)) {
    const build = buildOf(run.searchAttributes, deps.project) ?? '';
    const { workflowId: runId, type: pipeline } = run;
    found.set(build, [...(found.get(build) ?? []), { runId, pipeline, state: readRunState(run) }]);
    if (++seen >= limit) break;
  }
  return found;
}

async function countOpen(deps: ClientDeps, build: string): Promise<number> {
  const query = `${VERSION_ATTRIBUTE} = '${deps.project}:${build}' AND ExecutionStatus = 'Running'`;
  return await callTemporal(
    deps,
    'open runs of a build',
    async () => (await deps.temporal.workflow.count(query)).count,
  );
}

/** The build of a run, from the attribute that the server keeps; undefined before its first task. */
export function buildOf(
  attributes: { readonly [name: string]: readonly unknown[] | undefined },
  project: string,
): string | undefined {
  const version = attributes[VERSION_ATTRIBUTE]?.[0];
  return typeof version === 'string' && version.startsWith(`${project}:`)
    ? version.slice(project.length + 1)
    : undefined;
}

async function migrateRun(deps: ClientDeps, runId: string, to: string): Promise<MigratedRun> {
  const { temporal, project } = deps;
  const found = await describeRun(deps, runId);
  if (found.closeTime !== undefined)
    throw new AnnealError(
      'InvalidInput',
      `Run "${runId}" ended at ${found.closeTime.toISOString()}; only an open run can move to another build. Take up its work with: anneal retry ${runId}`,
    );
  const from = buildOf(found.searchAttributes, project);
  const hosted = (await describeDeployment(deps))?.versionSummaries?.some(
    ({ deploymentVersion }) => deploymentVersion?.buildId === to,
  );
  if (hosted !== true)
    throw new AnnealError(
      'InvalidInput',
      `No worker of project "${project}" has hosted build ${to.slice(0, 12)}. See which there are with "anneal versions", or deploy it with "anneal deploy".`,
    );
  await callTemporal(deps, `run "${runId}"`, async () => {
    await temporal.workflowService.updateWorkflowExecutionOptions({
      namespace: temporal.options.namespace,
      workflowExecution: { workflowId: runId },
      workflowExecutionOptions: {
        versioningOverride: {
          pinned: { behavior: PINNED_BEHAVIOR, version: { deploymentName: project, buildId: to } },
        },
      },
      updateMask: { paths: ['versioning_override'] },
      identity: 'anneal',
    });
  });
  return { runId, ...(from === undefined ? {} : { from }), to };
}

/** temporal.api.workflow.v1.VersioningOverride.PinnedOverrideBehavior. */
const PINNED_BEHAVIOR = 1;

function toMs(
  time: { readonly seconds?: unknown; readonly nanos?: number | null } | null | undefined,
): number | undefined {
  return time ? Number(time.seconds ?? 0) * 1_000 + Math.round((time.nanos ?? 0) / 1e6) : undefined;
}
