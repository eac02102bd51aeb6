import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { PipelineDefinition } from '../../core/pipeline-definition.js';
import type { ScheduleDefinition, SkippedDate } from '../../core/schedule-definition.js';

/** Pipelines whose schedules hold all dates that they leave out, and what these were read from. */
export interface DatedPipelines {
  readonly pipelines: PipelineDefinition[];
  /** Absolute paths. */
  readonly files: readonly string[];
  readonly problems: readonly string[];
}

/** Reads the files of dates that schedules name, relative to the project. */
export async function readScheduleDates(
  pipelines: readonly PipelineDefinition[],
  root: string,
): Promise<DatedPipelines> {
  const files: string[] = [];
  const problems: string[] = [];
  const dated = await Promise.all(
    pipelines.map(async (pipeline) => {
      const { schedule, name } = pipeline;
      const file = schedule?.skip?.file;
      if (schedule === undefined || file === undefined) return pipeline;
      const full = path.resolve(root, file);
      const text = await readFile(full, 'utf8').catch(() => undefined);
      if (text === undefined) {
        problems.push(
          `The schedule of pipeline "${name}" skips the dates in ${file}, which cannot be read. Write it beside anneal.yaml, one date a line.`,
        );
        return pipeline;
      }
      files.push(full);
      return { ...pipeline, schedule: withDates(schedule, readDates(text)) };
    }),
  );
  return { pipelines: dated, files, problems };
}

function withDates(schedule: ScheduleDefinition, found: readonly SkippedDate[]): ScheduleDefinition {
  return { ...schedule, skip: { ...schedule.skip, dates: [...(schedule.skip?.dates ?? []), ...found] } };
}

/** One date a line, then its name; `#` begins a remark. What is no date is said when the schedule is checked. */
function readDates(text: string): readonly SkippedDate[] {
  return text.split(/\r?\n/).flatMap((line) => {
    const [date = '', ...name] = line
      .replace(/#.*/, '')
      .trim()
      .split(/[\s,]+/);
    if (date === '') return [];
    return [name.length === 0 ? { date } : { date, name: name.join(' ') }];
  });
}
