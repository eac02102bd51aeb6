import { AnnealError } from '../../core/failures.js';
import type { PipelineDefinition } from '../../core/pipeline-definition.js';
import { scheduleIdOf } from '../../core/schedule-memos.js';
import type { ClientDeps } from '../client-deps.js';
import { callTemporal } from '../temporal-errors.js';
import { applySchedules, type ScheduleChanges } from './apply-schedules.js';
import { readHistory, type ScheduledTime } from './schedule-history.js';
import { listTriggers, type TriggerInfo } from './list-triggers.js';
import { listSchedules, type ScheduleInfo } from './list-schedules.js';

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
  /** Triggers of pipelines, and what each started last. */
  triggers(pipelines: readonly PipelineDefinition[]): Promise<readonly TriggerInfo[]>;
  /** What became of the times of a schedule, the newest first: a run, or why there is none. */
  history(pipeline: string, options?: { readonly limit?: number }): Promise<readonly ScheduledTime[]>;
}

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
    list: async () => await listSchedules(deps),
    // Without a note Temporal's SDK writes one of its own, about itself.
    pause: async (pipeline, note = 'by hand') =>
      await on(pipeline, (id) => schedule.getHandle(id).pause(note)),
    resume: async (pipeline, note = 'resumed by hand') =>
      await on(pipeline, (id) => schedule.getHandle(id).unpause(note)),
    trigger: async (pipeline) => await on(pipeline, (id) => schedule.getHandle(id).trigger()),
    history: async (pipeline, options) => await readHistory(deps, pipeline, options?.limit ?? 20),
    triggers: async (pipelines) => await listTriggers(deps, pipelines),
    remove: async (pipeline) => await on(pipeline, (id) => schedule.getHandle(id).delete()),
  };
}
