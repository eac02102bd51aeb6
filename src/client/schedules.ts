import type { ScheduleOptions, ScheduleUpdateOptions } from '@temporalio/client';
import { digestOf } from '../core/digest.js';
import { AnnealError } from '../core/failures.js';
import { pipelinesTaskQueue } from '../core/run.js';
import type { PipelineDefinition, ScheduleDefinition } from '../core/pipeline-definition.js';
import type { ClientDeps } from './client-deps.js';
import { callTemporal } from './temporal-errors.js';

/** What applying schedules does, by pipeline. */
export interface ScheduleChanges {
  readonly created: readonly string[];
  readonly updated: readonly string[];
  readonly removed: readonly string[];
  readonly unchanged: readonly string[];
  /** What differs in each updated one, such as `cron: "0 2 * * *" → "0 3 * * *"`. */
  readonly differences: { readonly [pipeline: string]: readonly string[] };
}

/** One schedule of the project. */
export interface ScheduleInfo {
  readonly pipeline: string;
  readonly scheduleId: string;
  readonly paused: boolean;
  readonly note?: string;
  /** As it was applied; absent for one that was not made by this version. */
  readonly definition?: ScheduleDefinition;
  readonly nextAtMs: readonly number[];
  readonly lastRunId?: string;
}

/** The schedules of a project's pipelines. A schedule's id is `<project>/<pipeline>`. */
export interface Schedules {
  /** Makes the server's schedules those of the pipelines; `dryRun` only says what would change. Paused ones stay paused. */
  apply(
    pipelines: readonly PipelineDefinition[],
    options?: { readonly dryRun?: boolean },
  ): Promise<ScheduleChanges>;
  list(): Promise<ScheduleInfo[]>;
  pause(pipeline: string, note?: string): Promise<void>;
  resume(pipeline: string, note?: string): Promise<void>;
  /** Starts a run now, as the schedule would. */
  trigger(pipeline: string): Promise<void>;
  remove(pipeline: string): Promise<void>;
}

/** Memo of a schedule that says whose it is; only such schedules are ever removed. */
const OWNER_MEMO = 'anneal.project';
/** Memo of the runs that a schedule starts; tells whether it is as the code says (a schedule's own memo cannot be changed). */
const DIGEST_MEMO = 'anneal.schedule';
/** Memo of the same runs with the schedule as the code had it. */
const DEFINITION_MEMO = 'anneal.definition';
const OVERLAP = { skip: 'SKIP', 'buffer-one': 'BUFFER_ONE', 'allow-all': 'ALLOW_ALL' } as const;

/** Schedules over Temporal's own. */
export function createSchedules(deps: ClientDeps): Schedules {
  const { schedule } = deps.temporal;
  const on = async (pipeline: string, act: (id: string) => Promise<unknown>) => {
    const id = scheduleIdOf(deps.project, pipeline);
    try {
      await callTemporal(deps, `schedule "${id}"`, async () => await act(id));
    } catch (error) {
      if (!(error instanceof AnnealError) || error.code !== 'RunNotFound') throw error;
      throw new AnnealError(
        'InvalidInput',
        `Pipeline "${pipeline}" has no schedule on the server. See "anneal schedule list"; make those of the code with "anneal schedule apply".`,
        { cause: error },
      );
    }
  };
  return {
    apply: async (pipelines, options) => await applySchedules(deps, pipelines, options?.dryRun === true),
    list: async () => await listWithDefinitions(deps),
    // Without a note Temporal's SDK writes one of its own, about itself.
    pause: async (pipeline, note = 'by hand') =>
      await on(pipeline, (id) => schedule.getHandle(id).pause(note)),
    resume: async (pipeline, note = 'resumed by hand') =>
      await on(pipeline, (id) => schedule.getHandle(id).unpause(note)),
    trigger: async (pipeline) => await on(pipeline, (id) => schedule.getHandle(id).trigger()),
    remove: async (pipeline) => await on(pipeline, (id) => schedule.getHandle(id).delete()),
  };
}

function scheduleIdOf(project: string, pipeline: string): string {
  return `${project}/${pipeline}`;
}

async function applySchedules(
  deps: ClientDeps,
  pipelines: readonly PipelineDefinition[],
  dryRun: boolean,
): Promise<ScheduleChanges> {
  const { schedule } = deps.temporal;
  const changes = {
    created: [] as string[],
    updated: [] as string[],
    removed: [] as string[],
    unchanged: [] as string[],
    differences: {} as { [pipeline: string]: readonly string[] },
  };
  const owned = new Map((await listOwned(deps)).map((info) => [info.pipeline, info]));
  for (const { name, schedule: wanted } of pipelines) {
    if (wanted === undefined) continue;
    const options = buildSchedule(deps.project, name, wanted);
    const about = `schedule "${options.scheduleId}"`;
    const handle = schedule.getHandle(options.scheduleId);
    if (!owned.delete(name)) {
      if (!dryRun) await callTemporal(deps, about, async () => await schedule.create(options));
      changes.created.push(name);
    } else {
      const found = await callTemporal(deps, about, async () => await handle.describe());
      const same = found.action.memo?.[DIGEST_MEMO] === options.action.memo?.[DIGEST_MEMO];
      if (!same && !dryRun)
        await callTemporal(deps, about, async () => {
          await handle.update((previous): ScheduleUpdateOptions => ({
            spec: options.spec,
            action: options.action,
            policies: options.policies ?? {},
            state: previous.state,
          }));
        });
      changes[same ? 'unchanged' : 'updated'].push(name);
      if (!same) changes.differences[name] = differences(readDefinition(found.action.memo), wanted);
    }
  }
  for (const info of owned.values()) {
    if (!dryRun)
      await callTemporal(
        deps,
        `schedule "${info.scheduleId}"`,
        async () => await schedule.getHandle(info.scheduleId).delete(),
      );
    changes.removed.push(info.pipeline);
  }
  return changes;
}

/** `cron: "0 2 * * *" → "0 3 * * *"`, one line per key that differs. */
function differences(before: ScheduleDefinition | undefined, after: ScheduleDefinition): string[] {
  const text = (value: unknown) => (value === undefined ? 'default' : JSON.stringify(value));
  return (['cron', 'timezone', 'overlap', 'params'] as const).flatMap((key) => {
    const [old, now] = [text(before?.[key]), text(after[key])];
    return before === undefined || old === now ? [] : [`${key}: ${old} → ${now}`];
  });
}

function readDefinition(memo: { readonly [name: string]: unknown } | undefined) {
  return memo?.[DEFINITION_MEMO] as ScheduleDefinition | undefined;
}

/** The list of schedules has no memos of actions: each is asked for. */
async function listWithDefinitions(deps: ClientDeps): Promise<ScheduleInfo[]> {
  return await Promise.all(
    (await listOwned(deps)).map(async (info) => {
      const about = `schedule "${info.scheduleId}"`;
      const handle = deps.temporal.schedule.getHandle(info.scheduleId);
      const { action } = await callTemporal(deps, about, async () => await handle.describe());
      const definition = readDefinition(action.memo);
      return definition === undefined ? info : { ...info, definition };
    }),
  );
}

async function listOwned(deps: ClientDeps): Promise<ScheduleInfo[]> {
  const prefix = `${deps.project}/`;
  return await callTemporal(deps, 'the list of schedules', async () => {
    const owned: ScheduleInfo[] = [];
    for await (const found of deps.temporal.schedule.list()) {
      if (!found.scheduleId.startsWith(prefix) || found.memo?.[OWNER_MEMO] !== deps.project) continue;
      const last = found.info.recentActions.at(-1)?.action.workflow.workflowId;
      const { note, paused } = found.state;
      owned.push({
        pipeline: found.scheduleId.slice(prefix.length),
        scheduleId: found.scheduleId,
        paused,
        ...(note === undefined || note === '' ? {} : { note }),
        nextAtMs: found.info.nextActionTimes.map((time) => time.getTime()),
        ...(last === undefined ? {} : { lastRunId: last }),
      });
    }
    return owned;
  });
}

function buildSchedule(project: string, pipeline: string, wanted: ScheduleDefinition): ScheduleOptions {
  const digest = digestOf({ version: 1, project, pipeline, wanted });
  return {
    scheduleId: scheduleIdOf(project, pipeline),
    spec: { cronExpressions: [wanted.cron], timezone: wanted.timezone ?? 'UTC' },
    action: {
      type: 'startWorkflow',
      workflowType: pipeline,
      // Temporal adds the time, so each run has an id of its own.
      workflowId: pipeline,
      taskQueue: pipelinesTaskQueue(project),
      args: [wanted.params ?? {}],
      memo: { [DIGEST_MEMO]: digest, [DEFINITION_MEMO]: wanted },
    },
    // Temporal would catch up a whole year of missed times.
    policies: { overlap: OVERLAP[wanted.overlap ?? 'skip'], catchupWindow: '1h' },
    memo: { [OWNER_MEMO]: project },
  };
}
