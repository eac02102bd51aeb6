import type { ScheduleDescription, ScheduleOptions, ScheduleUpdateOptions } from '@temporalio/client';
import { canonicalJson } from '../../core/json.js';
import type { PipelineDefinition } from '../../core/pipeline-definition.js';
import type { ScheduleDefinition } from '../../core/schedule-definition.js';
import { DIGEST_MEMO } from '../../core/schedule-memos.js';
import { compileSchedule } from '../../core/schedule-times.js';
import type { ClientDeps } from '../client-deps.js';
import { callTemporal } from '../temporal-errors.js';
import { buildSchedule } from './build-schedule.js';
import { describeSchedule, listOwned, readDefinition } from './list-schedules.js';

/** What applying schedules does, by pipeline. */
export interface ScheduleChanges {
  readonly created: readonly string[];
  readonly updated: readonly string[];
  readonly removed: readonly string[];
  readonly unchanged: readonly string[];
  /** What differs in each updated one, such as `cron: "0 2 * * *" → "0 3 * * *"`. */
  readonly differences: { readonly [pipeline: string]: readonly string[] };
}

/** Makes the server's schedules those of the code. Schedules that are not marked as the project's are never touched. */
export async function applySchedules(
  deps: ClientDeps,
  pipelines: readonly PipelineDefinition[],
  dryRun: boolean,
): Promise<ScheduleChanges> {
  const changes = {
    created: [] as string[],
    updated: [] as string[],
    removed: [] as string[],
    unchanged: [] as string[],
    differences: {} as { [pipeline: string]: readonly string[] },
  };
  const owned = new Map((await listOwned(deps)).map((info) => [info.pipeline, info]));
  for (const pipeline of pipelines) {
    const { name, schedule: wanted } = pipeline;
    if (wanted === undefined) continue;
    const options = buildSchedule(deps.project, pipeline);
    owned.delete(name);
    // The list lags behind the schedules themselves.
    const found = await describeSchedule(deps, options.scheduleId);
    if (found === undefined) {
      if (!dryRun) await create(deps, options);
      changes.created.push(name);
      continue;
    }
    const differing = differences(found, options, wanted);
    if (differing.length === 0) changes.unchanged.push(name);
    else {
      if (!dryRun) await update(deps, options);
      changes.updated.push(name);
      changes.differences[name] = differing;
    }
  }
  for (const { scheduleId, pipeline } of owned.values()) {
    if ((await describeSchedule(deps, scheduleId)) === undefined) continue;
    const remove = async () => await deps.temporal.schedule.getHandle(scheduleId).delete();
    if (!dryRun) await callTemporal(deps, `schedule "${scheduleId}"`, remove);
    changes.removed.push(pipeline);
  }
  return changes;
}

async function create(deps: ClientDeps, options: ScheduleOptions): Promise<void> {
  const make = async () => await deps.temporal.schedule.create(options);
  await callTemporal(deps, `schedule "${options.scheduleId}"`, make);
}

/** Whether it is paused stays as it is. */
async function update(deps: ClientDeps, { scheduleId, spec, action, policies = {} }: ScheduleOptions) {
  const handle = deps.temporal.schedule.getHandle(scheduleId);
  await callTemporal(deps, `schedule "${scheduleId}"`, async () => {
    await handle.update(({ state }): ScheduleUpdateOptions => ({ spec, action, policies, state }));
  });
}

const KEYS = [
  ...(['cron', 'every', 'calendar', 'timezone', 'from', 'until', 'skip'] as const),
  ...(['overlap', 'catchup', 'jitter', 'pauseOnFailure', 'params'] as const),
] satisfies readonly (keyof ScheduleDefinition)[];

/** `cron: "0 2 * * *" → "0 3 * * *"`, one line for each key that differs, and what somebody changed on the server. */
function differences(
  found: ScheduleDescription,
  options: ScheduleOptions,
  wanted: ScheduleDefinition,
): readonly string[] {
  const before = readDefinition(found.action.memo);
  if (found.action.memo?.[DIGEST_MEMO] === options.action.memo?.[DIGEST_MEMO])
    return changedByHand(found, options, wanted);
  if (before === undefined) return ['made by another version'];
  const lines = KEYS.flatMap((key) => {
    const [old, now] = [textOf(before[key]), textOf(wanted[key])];
    return old === now ? [] : [`${key}: ${old} → ${now}`];
  });
  return lines.length === 0 ? ['made by another version'] : lines;
}

function textOf(value: unknown): string {
  return value === undefined ? 'default' : canonicalJson(value);
}

/** Somebody may have edited it in Temporal's Web UI, where the memo stays. */
function changedByHand(
  { policies, action, info }: ScheduleDescription,
  options: ScheduleOptions,
  wanted: ScheduleDefinition,
): readonly string[] {
  const was = (what: string, server: unknown, code: unknown) =>
    canonicalJson(server) === canonicalJson(code)
      ? []
      : [`${what}: changed on the server to ${canonicalJson(server)}`];
  const lines = [
    ...was('overlap', policies.overlap, options.policies?.overlap),
    ...was('catchup', policies.catchupWindow, options.policies?.catchupWindow),
    ...was('pauseOnFailure', policies.pauseOnFailure, options.policies?.pauseOnFailure),
    ...was('params', action.args?.[0], options.action.args?.[0]),
  ];
  const [first] = info.nextActionTimes;
  if (first === undefined || wanted.jitter !== undefined) return lines;
  const times = compileSchedule(wanted);
  const last = info.nextActionTimes.at(-1)?.getTime() ?? 0;
  const own = times.between(first.getTime() - 1_000, last).filter(({ skipped }) => skipped === undefined);
  const same = canonicalJson(own.map(({ atMs }) => atMs)) === canonicalJson(info.nextActionTimes.map(Number));
  return same ? lines : [...lines, 'times: changed on the server'];
}
