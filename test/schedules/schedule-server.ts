import { msToTs } from '@temporalio/common/lib/time.js';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { DefaultLogger, Runtime } from '@temporalio/worker';
import { createSchedules } from '../../src/client/schedules/create-schedules.js';
import type { ClientDeps } from '../../src/client/client-deps.js';
import { buildSchedule } from '../../src/client/schedules/build-schedule.js';
import type { PipelineDefinition } from '../../src/core/pipeline-definition.js';
import type { ScheduleDefinition } from '../../src/core/schedule-definition.js';

/** A dev server, and what a project does with its schedules. */
export async function startScheduleServer(project = 'shop') {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  const path = process.env['ANNEAL_TEST_TEMPORAL'] ?? '';
  const env = await TestWorkflowEnvironment.createLocal({
    server: {
      executable: { type: 'existing-path', path },
      searchAttributes: [
        { name: 'AnnealStatus', type: 'KEYWORD' },
        { name: 'AnnealTags', type: 'KEYWORD_LIST' },
      ],
    },
  });
  const deps: ClientDeps = {
    temporal: env.client,
    project,
    clock: { nowMs: () => Date.now(), sleep: async () => Promise.resolve() },
  };
  return {
    ...{ env, deps, client: env.client },
    schedules: createSchedules(deps),
    /** Times after the first moment up to the last, as the server itself says them. */
    serverTimes: async (schedule: ScheduleDefinition, fromMs: number, untilMs: number) => {
      const options = buildSchedule(project, { name: 'times', schedule });
      const handle = await env.client.schedule.create({ ...options, state: { paused: true } });
      try {
        return await listTimes(env, { scheduleId: options.scheduleId, fromMs, untilMs });
      } finally {
        await handle.delete();
      }
    },
    close: async () => await env.teardown(),
  };
}

export function scheduled(name: string, schedule?: ScheduleDefinition): PipelineDefinition {
  return { name, params: {}, tags: [], notify: {}, ...(schedule === undefined ? {} : { schedule }) };
}

/** At most this many times come in one answer. */
const PAGE = 1_000;

async function listTimes(
  { client }: TestWorkflowEnvironment,
  of: { readonly scheduleId: string; readonly fromMs: number; readonly untilMs: number },
): Promise<number[]> {
  const all: number[] = [];
  for (let fromMs = of.fromMs; ;) {
    const { startTime } = await client.workflowService.listScheduleMatchingTimes({
      namespace: 'default',
      scheduleId: of.scheduleId,
      startTime: msToTs(fromMs),
      endTime: msToTs(of.untilMs),
    });
    const times = startTime.map(({ seconds }) => Number(seconds) * 1_000);
    all.push(...times);
    if (times.length < PAGE) return all;
    fromMs = times.at(-1) ?? of.untilMs;
  }
}
