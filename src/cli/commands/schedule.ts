import { Cron } from 'croner';
import cronstrue from 'cronstrue';
import { AnnealError } from '../../core/failures.js';
import { formatDuration } from '../../core/duration.js';
import type { PipelineDefinition, ScheduleDefinition } from '../../core/pipeline-definition.js';
import type { Schedules } from '../../client/index.js';
import type { Command } from '../command.js';
import { refuseWrongParameters } from '../parse-parameters.js';
import { EXIT } from '../report-error.js';

/** `anneal schedule apply`: makes the server's schedules those of the code. */
export const apply: Command = async (context, _args, { dryRun }) => {
  const project = await context.openProject();
  const { terminal } = context;
  const { manifest } = await project.build((line) => terminal.line(terminal.colors.dim(`  ${line}`)));
  for (const pipeline of manifest.pipelines) refuseWrongSchedule(pipeline);
  const changes = await (
    await project.client()
  ).schedules.apply(manifest.pipelines, { dryRun: dryRun === true });
  terminal.show(changes, () => {
    const lines = (['created', 'updated', 'removed', 'unchanged'] as const).flatMap((kind) =>
      changes[kind].map((name) =>
        [
          `${dryRun === true && kind !== 'unchanged' ? 'would be ' : ''}${kind}  ${name}${kind === 'removed' ? '' : describeSchedule(manifest.pipelines, name, context.nowMs())}`,
          ...(changes.differences[name] ?? []).map((line) => `  ${line}`),
        ].join('\n'),
      ),
    );
    return lines.length === 0 ? 'No pipeline declares a schedule.' : lines.join('\n');
  });
  return EXIT.ok;
};

/** `anneal schedule list` */
export const list: Command = async (context) => {
  const schedules = await (await (await context.openProject()).client()).schedules.list();
  context.terminal.show(schedules, () =>
    schedules.length === 0
      ? 'No schedules on the server. Make those of the code with: anneal schedule apply'
      : schedules
          .map(({ pipeline, paused, note, definition, nextAtMs: [nextAtMs] }) => {
            const words = definition === undefined ? '' : `  ${inWords(definition)}`;
            const next =
              nextAtMs === undefined || paused ? '' : `, next ${inTime(nextAtMs, context.nowMs())}`;
            return `${pipeline}  ${paused ? `paused${note === undefined ? '' : ` (${note})`}` : 'active'}${words}${next}`;
          })
          .join('\n'),
  );
  return EXIT.ok;
};

export const pause = createVerb(
  'paused',
  async (schedules, pipeline, note) => await schedules.pause(pipeline, note),
);
export const resume = createVerb(
  'resumed',
  async (schedules, pipeline, note) => await schedules.resume(pipeline, note),
);
export const trigger = createVerb(
  'triggered',
  async (schedules, pipeline) => await schedules.trigger(pipeline),
);
export const remove = createVerb('deleted', async (schedules, pipeline) => await schedules.remove(pipeline));

function createVerb(
  done: string,
  act: (schedules: Schedules, pipeline: string, note: string | undefined) => Promise<void>,
): Command {
  return async (context, [pipeline = ''], { note }) => {
    await act((await (await context.openProject()).client()).schedules, pipeline, note);
    context.terminal.show({ pipeline, schedule: done }, () => `Schedule of ${pipeline} ${done}.`);
    return EXIT.ok;
  };
}

function refuseWrongSchedule({ name, params, schedule }: PipelineDefinition): void {
  if (!schedule) return;
  try {
    new Cron(schedule.cron, { paused: true, timezone: schedule.timezone ?? 'UTC' }).nextRun();
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.replace(/\.$/, '') : String(cause);
    throw new AnnealError(
      'InvalidConfig',
      `The schedule of pipeline "${name}" cannot be used: cron "${schedule.cron}", time zone "${schedule.timezone ?? 'UTC'}" (${why}). Write five fields such as "0 2 * * *" and an IANA zone.`,
      { cause },
    );
  }
  refuseWrongParameters(name, params, schedule.params ?? {});
}

function describeSchedule(pipelines: readonly PipelineDefinition[], name: string, nowMs: number): string {
  const schedule = pipelines.find((pipeline) => pipeline.name === name)?.schedule;
  if (!schedule) return '';
  const next = new Cron(schedule.cron, { paused: true, timezone: schedule.timezone ?? 'UTC' }).nextRun(
    new Date(nowMs),
  );
  return `  ${inWords(schedule)}${next === null ? '' : `, next ${inTime(next.getTime(), nowMs)}`}`;
}

/** `At 02:00, UTC`. */
function inWords({ cron, timezone }: ScheduleDefinition): string {
  return `${cronstrue.toString(cron, { use24HourTimeFormat: true })}, ${timezone ?? 'UTC'}`;
}

/** `2026-11-24 02:00 UTC (in 13h 20m)`. */
function inTime(atMs: number, nowMs: number): string {
  const at = new Date(atMs).toISOString().slice(0, 16).replace('T', ' ');
  return `${at} UTC (in ${formatDuration(Math.max(0, atMs - nowMs))})`;
}
