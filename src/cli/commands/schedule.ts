import type { ScheduleChanges, ScheduleInfo, Schedules } from '../../client/index.js';
import { AnnealError } from '../../core/failures.js';
import type { PipelineDefinition } from '../../core/pipeline-definition.js';
import { compileSchedule } from '../../core/schedule-times.js';
import type { Command } from '../command.js';
import { EXIT } from '../report-error.js';
import { scheduleInWords, timeInWords } from '../schedule-text.js';
import { undeployedSchedules } from '../undeployed-schedules.js';

/** Times that the list shows of each schedule. */
const SHOWN_TIMES = 5;

/** `anneal schedule apply`: says what differs, then makes the server's schedules those of the code. */
export const apply: Command = async (context, _args, { dryRun }) => {
  const project = await context.openProject();
  const { terminal } = context;
  const { manifest } = await project.build((line) => terminal.line(terminal.colors.dim(`  ${line}`)));
  const { schedules } = await project.client();
  const plan = await schedules.apply(manifest.pipelines, { dryRun: true });
  const text = () => planText(plan, manifest.pipelines, context.nowMs());
  for (const warning of await undeployedSchedules(project, manifest.pipelines))
    terminal.error(terminal.colors.yellow(warning));
  if (dryRun === true) {
    terminal.show(plan, () =>
      [...text(), ...(isChange(plan) ? ['Nothing was changed: --dry-run.'] : [])].join('\n'),
    );
    return EXIT.ok;
  }
  if (!terminal.json) for (const line of text()) terminal.line(line);
  const changes = isChange(plan) ? await schedules.apply(manifest.pipelines) : plan;
  if (terminal.json || isChange(changes)) terminal.show(changes, () => doneText(changes));
  return EXIT.ok;
};

function isChange({ created, updated, removed }: ScheduleChanges): boolean {
  return created.length + updated.length + removed.length > 0;
}

const SIGNS = { created: '+', updated: '~', removed: '-', unchanged: '=' } as const;

function planText(plan: ScheduleChanges, pipelines: readonly PipelineDefinition[], nowMs: number): string[] {
  const lines = (['created', 'updated', 'removed', 'unchanged'] as const).flatMap((kind) =>
    plan[kind].flatMap((name) => {
      const wanted = pipelines.find((pipeline) => pipeline.name === name)?.schedule;
      const next = wanted && compileSchedule(wanted).between(nowMs, Infinity, SHOWN_TIMES);
      const first = next?.find(({ skipped }) => skipped === undefined);
      const zone = wanted?.timezone ?? 'UTC';
      const when = first === undefined ? '' : `, next ${timeInWords(first.atMs, zone, nowMs)}`;
      const words = kind === 'removed' || !wanted ? '' : `  ${scheduleInWords(wanted)}${when}`;
      return [
        `${SIGNS[kind]} ${name}${words}`,
        ...(plan.differences[name] ?? []).map((line) => `    ${line}`),
      ];
    }),
  );
  return lines.length === 0 ? ['No pipeline declares a schedule.'] : lines;
}

function doneText(changes: ScheduleChanges): string {
  const counts = (['created', 'updated', 'removed'] as const).flatMap((kind) =>
    changes[kind].length === 0 ? [] : [`${changes[kind].length} ${kind}`],
  );
  return `Schedules: ${counts.join(', ')}.`;
}

/** `anneal schedule list` */
export const list: Command = async (context) => {
  const schedules = await (await (await context.openProject()).client()).schedules.list();
  context.terminal.show(schedules, () =>
    schedules.length === 0
      ? 'No schedules on the server. Make those of the code with: anneal schedule apply'
      : schedules.map((info) => listedText(info, context.nowMs())).join('\n'),
  );
  return EXIT.ok;
};

function listedText({ pipeline, paused, note, definition, nextAtMs }: ScheduleInfo, nowMs: number): string {
  const words = definition === undefined ? '' : `  ${scheduleInWords(definition)}`;
  const state = paused ? `paused${note === undefined ? '' : ` (${note})`}` : 'active';
  const zone = definition?.timezone ?? 'UTC';
  const times = paused ? [] : nextAtMs.slice(0, SHOWN_TIMES);
  return [
    `${pipeline}  ${state}${words}`,
    ...times.map((atMs) => `    ${timeInWords(atMs, zone, nowMs)}`),
  ].join('\n');
}

/** `anneal schedule history`: what became of each time. */
export const history: Command = async (context, [pipeline = ''], { limit }) => {
  const { schedules } = await (await context.openProject()).client();
  const times = await schedules.history(pipeline, { limit: readLimit(limit) });
  context.terminal.show(times, () =>
    times.length === 0
      ? `Nothing is known of times of ${pipeline} yet.`
      : times
          .map((time) => {
            const at = timeInWords(time.atMs, 'UTC');
            return time.run === undefined
              ? `${at}  ${time.skipped.reason}  ${time.skipped.text}`
              : `${at}  ${time.run.state}  ${time.run.runId}`;
          })
          .join('\n'),
  );
  return EXIT.ok;
};

function readLimit(limit: string | undefined): number {
  if (limit === undefined) return 20;
  if (/^[1-9]\d{0,4}$/.test(limit)) return Number(limit);
  throw new AnnealError('InvalidCommand', `--limit "${limit}" is no whole number from 1 to 99999.`);
}

/** `anneal schedule triggers`: what starts runs beside the schedules, by the build that new runs use. */
export const triggers: Command = async (context) => {
  const project = await context.openProject();
  const { manifest } = await project.currentBuild();
  const { schedules } = await project.client();
  const found = await schedules.triggers(manifest.pipelines);
  context.terminal.show(found, () =>
    found.length === 0
      ? 'No pipeline declares a trigger.'
      : found
          .map(({ pipeline, text, activatedAtMs, lastFired }) => {
            const since =
              activatedAtMs === undefined
                ? 'no worker has looked yet'
                : `since ${timeInWords(activatedAtMs, 'UTC')}`;
            const last = lastFired && `    last ${timeInWords(lastFired.atMs, 'UTC')}: ${lastFired.runId}`;
            return [`${pipeline}  ${text}, ${since}`, ...(last === undefined ? [] : [last])].join('\n');
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
