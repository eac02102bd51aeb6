import type { ScheduledRun, ScheduleView } from '../../core/schedule-account.js';

/** The schedules of a project as its Temporal server knows them. */
export interface ScheduleDirectory {
  listSchedules(): Promise<readonly ScheduleView[]>;
  /** Runs of a schedule that are open, or started or ended since then; each once, also after it continued as new. */
  listRuns(scheduleId: string, sinceMs: number): Promise<readonly ScheduledRun[]>;
  /** How long the server keeps ended runs. */
  readRetentionMs(): Promise<number>;
}
