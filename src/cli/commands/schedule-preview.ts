import { explainClockChanges, type ClockChange, type ClockEffect } from '../../core/clock-changes.js';
import { formatDuration } from '../../core/duration.js';
import { AnnealError } from '../../core/failures.js';
import type { PipelineDefinition } from '../../core/pipeline-definition.js';
import type { ScheduleDefinition } from '../../core/schedule-definition.js';
import { compileSchedule, type FireTime } from '../../core/schedule-times.js';
import type { Command } from '../command.js';
import { EXIT } from '../report-error.js';
import { scheduleInWords, timeInWords } from '../schedule-text.js';

interface Preview {
  readonly pipeline: string;
  readonly definition: ScheduleDefinition;
  readonly fromMs: number;
  readonly untilMs: number;
  readonly times: readonly FireTime[];
  /** Times are left out of the answer from here on. */
  readonly truncated: boolean;
  readonly clockChanges: readonly ClockChange[];
}

/** More times than that are no schedule for people to look at. */
const MOST_TIMES = 20_000;
const FIRST_SHOWN = 5;

/** `anneal schedule preview`: the times of a year as the code has them, and what changes of the clocks do to them. Needs no server. */
export const preview: Command = async (context, [pipeline], { year }) => {
  const project = await context.openProject();
  const { terminal } = context;
  const { manifest } = await project.build((line) => terminal.line(terminal.colors.dim(`  ${line}`)));
  const span = readSpan(year, context.nowMs());
  const previews = choose(manifest.pipelines, pipeline).map(({ name, schedule }) => ({
    pipeline: name,
    ...look(schedule, span),
  }));
  terminal.show(previews, () =>
    previews.length === 0 ? 'No pipeline declares a schedule.' : previews.map(previewText).join('\n\n'),
  );
  return EXIT.ok;
};

type Scheduled = PipelineDefinition & { readonly schedule: ScheduleDefinition };

function choose(pipelines: readonly PipelineDefinition[], name: string | undefined): Scheduled[] {
  const scheduled = pipelines.filter((one): one is Scheduled => one.schedule !== undefined);
  if (name === undefined) return scheduled;
  const found = scheduled.filter((one) => one.name === name);
  if (found.length > 0) return found;
  const names = scheduled.map((one) => `"${one.name}"`).join(', ') || 'none';
  throw new AnnealError(
    'InvalidInput',
    `Pipeline "${name}" declares no schedule in code; these do: ${names}. Add schedule: to definePipeline.`,
  );
}

/** A calendar year, else the next twelve months. */
function readSpan(year: string | boolean | undefined, nowMs: number) {
  if (typeof year !== 'string') {
    const end = new Date(nowMs);
    end.setUTCFullYear(end.getUTCFullYear() + 1);
    return { fromMs: nowMs, untilMs: end.getTime() };
  }
  if (!/^20\d\d$/.test(year))
    throw new AnnealError(
      'InvalidCommand',
      `--year "${year}" is no year from 2000 to 2099; write such as --year 2027.`,
    );
  const first = Number(year);
  return { fromMs: Date.UTC(first, 0, 1), untilMs: Date.UTC(first + 1, 0, 1) - 1 };
}

function look(
  definition: ScheduleDefinition,
  { fromMs, untilMs }: { readonly fromMs: number; readonly untilMs: number },
): Omit<Preview, 'pipeline'> {
  const times = compileSchedule(definition);
  const found = times.between(fromMs - 1_000, untilMs, MOST_TIMES + 1);
  return {
    ...{ definition, fromMs, untilMs },
    times: found.slice(0, MOST_TIMES),
    truncated: found.length > MOST_TIMES,
    clockChanges: explainClockChanges(definition, fromMs, untilMs),
  };
}

function previewText({
  pipeline,
  definition,
  times,
  truncated,
  clockChanges,
  fromMs,
  untilMs,
}: Preview): string {
  const zone = definition.timezone ?? 'UTC';
  const starting = times.filter(({ skipped }) => skipped === undefined);
  const days = [fromMs, untilMs].map((ms) => new Date(ms).toISOString().slice(0, 10)).join(' to ');
  const skipped = times.flatMap(({ atMs, skipped: date }) =>
    date === undefined
      ? []
      : [`    ${timeInWords(atMs, zone)}${date.name === undefined ? '' : `  ${date.name}`}`],
  );
  const count = `${truncated ? 'more than ' : ''}${starting.length} times from ${days}`;
  return [
    `${pipeline}  ${scheduleInWords(definition)}: ${count}`,
    ...starting.slice(0, FIRST_SHOWN).map(({ atMs }) => `    ${timeInWords(atMs, zone)}`),
    ...(starting.length > FIRST_SHOWN ? ['    ...'] : []),
    ...(skipped.length === 0 ? [] : ['  left out:', ...skipped]),
    ...clockChanges.flatMap((change) => changeText(change, zone)),
  ].join('\n');
}

function changeText({ date, byMs, effects }: ClockChange, zone: string): string[] {
  const way = `${byMs > 0 ? 'forward' : 'back'} by ${formatDuration(Math.abs(byMs))}`;
  if (effects.length === 0) return [`  ${date}: clocks go ${way}; no time of it is concerned`];
  return [`  ${date}: clocks go ${way}`, ...effects.map((effect) => `    ${effectText(effect, zone)}`)];
}

function effectText({ wall, kind, startsAtMs }: ClockEffect, zone: string): string {
  const starts = startsAtMs.map((atMs) => timeInWords(atMs, zone).slice(15)).join(' and ');
  switch (kind) {
    case 'missing':
      return `${wall} does not exist: nothing starts`;
    case 'twice':
      return `${wall} is there twice: starts twice, at ${starts}`;
    case 'once':
      return `${wall} is there twice: starts once, at ${starts}`;
    case 'lost':
      return `${wall} is there and starts nothing, since Temporal leaves it out`;
    case 'extra':
      return `starts at ${starts} too, since Temporal takes the hour before twice`;
  }
}
