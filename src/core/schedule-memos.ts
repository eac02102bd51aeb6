/** Memo of a schedule that says whose it is; only such schedules are ever removed. */
export const OWNER_MEMO = 'anneal.project';
/** Memo of the runs that a schedule starts; tells whether it is as the code says (a schedule's own memo cannot be changed). */
export const DIGEST_MEMO = 'anneal.schedule';
/** Memo of the same runs with the schedule as the code had it. */
export const DEFINITION_MEMO = 'anneal.definition';

/** A schedule's id on the server. */
export function scheduleIdOf(project: string, pipeline: string): string {
  return `${project}/${pipeline}`;
}
