import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { EndedRun } from '../../src/activities/ports/run-directory.js';
import type { TriggeredRun } from '../../src/activities/ports/trigger-directory.js';
import { sweepTriggers } from '../../src/activities/sweep-triggers.js';
import { markTag, moveTag, type AliasMove } from '../../src/core/alias-moves.js';
import { storeKeys } from '../../src/core/artifact-store.js';
import type { PipelineDefinition } from '../../src/core/pipeline-definition.js';
import type { RunStatus } from '../../src/core/run.js';
import { triggerProblems, type TriggerDefinition } from '../../src/core/triggers.js';
import { createMemoryStore } from '../tracking/fixtures.js';

const MINUTE = 60_000;
const NOW = Date.UTC(2026, 10, 24);

const pipeline = (name: string, triggers: readonly TriggerDefinition[] = []): PipelineDefinition => ({
  ...{ name, params: { version: { type: 'string' }, n: { type: 'number' } }, tags: [], notify: {} },
  triggers,
});

/** A project whose runs end and whose aliases move as a test says. */
function createWorld(...pipelines: PipelineDefinition[]) {
  const store = createMemoryStore();
  const started: TriggeredRun[] = [];
  /** Ids that the server has not forgotten. */
  const taken = new Set<string>();
  const ends: EndedRun[] = [];
  const tags: { [name: string]: string } = {};
  const aliases: { [alias: string]: string } = {};
  const world = {
    ...{ nowMs: NOW, away: false, crash: false },
    /** Undefined: of a machine that does not know the build. */
    pipelines: pipelines as readonly PipelineDefinition[] | undefined,
    /** The run after which nothing can be started. */
    refused: undefined as string | undefined,
  };
  const sweep = async () =>
    await sweepTriggers(
      {
        store: {
          readBytes: store.readBytes,
          putBytes: async (key, bytes) => {
            if (world.crash && key.includes('/fired/')) throw new Error('the worker was killed');
            return await store.putBytes(key, bytes);
          },
        },
        ...{ project: 'p', clock: { nowMs: () => world.nowMs }, log: () => undefined },
        triggers: {
          listPipelines: async () => Promise.resolve(world.pipelines),
          listEnds: async function* (name, sinceMs) {
            if (world.away) throw new Error('Temporal is away');
            for (const run of ends)
              if (run.pipeline === name && run.endedAtMs >= sinceMs) yield await Promise.resolve(run);
          },
          readModel: async (model) =>
            Promise.resolve(model === 'churn' ? { aliases: { ...aliases }, tags: { ...tags } } : null),
          // As the server does: an id is started once.
          start: async (run) => {
            if (world.refused !== undefined && run.runId.endsWith(world.refused))
              throw new Error('Temporal refuses it');
            if (!taken.has(run.runId)) started.push(run);
            taken.add(run.runId);
            return Promise.resolve();
          },
        },
      },
      AbortSignal.timeout(5_000),
    );
  const end = async (id: string, state: EndedRun['state'] = 'completed', record?: Partial<RunStatus>) => {
    const run = { runId: id, executionId: `exec-${id}`, epoch: id, pipeline: 'ingest', state };
    ends.push({ ...run, startedAtMs: world.nowMs - MINUTE, endedAtMs: world.nowMs });
    if (record !== undefined)
      await store.putBytes(
        storeKeys.run(run.executionId),
        Buffer.from(JSON.stringify({ ...run, parameters: {}, ...record })),
      );
  };
  const move = (
    order: number,
    version: string | null,
    { underWay, ...changes }: Partial<AliasMove> & { readonly underWay?: true } = {},
  ) => {
    const known = { order, requestId: `r${order}`, alias: 'champion', replaced: aliases['champion'] ?? null };
    const made: AliasMove = {
      ...known,
      kind: 'promote',
      version,
      stack: [],
      by: 'ana',
      atMs: world.nowMs,
      ...changes,
    };
    tags[moveTag(made)] = JSON.stringify(made);
    const settle = () => {
      tags[markTag(made, 'done')] = '1';
    };
    if (underWay !== true) settle();
    if (version === null) delete aliases['champion'];
    else aliases['champion'] = version;
    return settle;
  };
  const later = (ms = MINUTE) => {
    world.nowMs += ms;
  };
  return Object.assign(world, { store, started, taken, aliases, sweep, end, move, later });
}

const ids = ({ started }: { readonly started: readonly TriggeredRun[] }) =>
  started.map(({ event }) => (event.kind === 'run' ? event.runId : `${event.alias}=${event.version}`));

describe('a trigger after a pipeline', () => {
  const after = (more: object = {}) =>
    createWorld(pipeline('ingest'), pipeline('report', [{ after: 'ingest', ...more }]));

  test('starts one run for each run that completed, however often it is looked at', async () => {
    const world = after({ params: { version: { from: 'result.version' }, n: 3 } });
    await world.sweep();
    world.later();
    await world.end('one', 'completed', { state: 'completed', result: { version: '7' } });
    for (let i = 0; i < 3; i++) {
      await world.sweep();
      world.later(10 * MINUTE);
    }
    assert.deepEqual(
      world.started.map(({ pipeline: name, params }) => ({ name, params })),
      [{ name: 'report', params: { version: '7', n: 3 } }],
    );
    assert.match(world.started[0]?.runId ?? '', /^report\/triggered\/[0-9a-f]{12}\/exec-one$/);
  });

  test('starts nothing for what happened before it was there', async () => {
    const world = after();
    await world.end('old');
    world.later(1);
    for (let i = 0; i < 3; i++) {
      await world.sweep();
      world.later();
    }
    assert.deepEqual(ids(world), []);
  });

  test('starts nothing for what happened while it was not in the code', async () => {
    const world = after();
    await world.sweep();
    const [, report] = world.pipelines ?? [];
    world.pipelines = [pipeline('ingest'), pipeline('report')];
    world.later();
    await world.sweep();
    await world.end('meanwhile');
    world.later();
    world.pipelines = [pipeline('ingest'), ...(report === undefined ? [] : [report])];
    await world.sweep();
    world.later();
    await world.end('now');
    world.later();
    await world.sweep();
    assert.deepEqual(ids(world), ['now']);
  });

  test('starts what was missed while servers and workers were away, once', async () => {
    const world = after();
    await world.sweep();
    world.later();
    await world.end('during');
    world.away = true;
    await world.sweep();
    world.later(3 * 24 * 60 * MINUTE);
    await world.sweep();
    world.away = false;
    await world.sweep();
    await world.sweep();
    assert.deepEqual(ids(world), ['during']);
  });

  test('starts a run once when the worker dies between the run and its record', async () => {
    const world = after();
    await world.sweep();
    world.later();
    await world.end('one');
    world.crash = true;
    await world.sweep();
    world.crash = false;
    world.later();
    await world.sweep();
    await world.sweep();
    assert.deepEqual(ids(world), ['one']);
  });

  test('starts nothing again for what the store remembers, when the server has forgotten the run', async () => {
    const world = after();
    await world.sweep();
    world.later();
    await world.end('one');
    await world.sweep();
    world.taken.clear();
    world.later();
    await world.sweep();
    assert.deepEqual(ids(world), ['one']);
  });

  test('waits for the outcomes that it names; a run that was not promoted did not complete', async () => {
    const world = createWorld(
      pipeline('ingest'),
      pipeline('report', [{ after: 'ingest' }]),
      pipeline('alarm', [{ after: 'ingest', on: ['failed', 'not-promoted'] }]),
    );
    await world.sweep();
    world.later();
    await world.end('good');
    await world.end('weak', 'completed', { state: 'not-promoted' });
    await world.end('bad', 'failed');
    await world.end('gone', 'terminated');
    await world.sweep();
    assert.deepEqual(
      world.started.map(({ pipeline: name, event }) => `${name} ${event.kind === 'run' ? event.runId : ''}`),
      ['report good', 'alarm weak', 'alarm bad'],
    );
  });
});

describe('a trigger', () => {
  const world = () => createWorld(pipeline('ingest'), pipeline('report', [{ after: 'ingest' }]));

  test('goes on counting over looks of a machine that does not know the build', async () => {
    const one = world();
    await one.sweep();
    const { pipelines } = one;
    one.later();
    await one.end('one');
    one.pipelines = undefined;
    await one.sweep();
    one.pipelines = pipelines;
    one.later();
    await one.sweep();
    assert.deepEqual(ids(one), ['one']);
  });

  test('starts its other runs where one cannot be started, and that one later', async () => {
    const one = world();
    await one.sweep();
    one.later();
    await one.end('refused');
    await one.end('two');
    one.refused = 'refused';
    await one.sweep();
    assert.deepEqual(ids(one), ['two']);
    one.refused = undefined;
    one.later();
    await one.sweep();
    assert.deepEqual(ids(one), ['two', 'refused']);
  });
});

describe('a trigger of an alias', () => {
  const onMove = () =>
    createWorld(pipeline('report', [{ alias: 'churn@champion', params: { version: { from: 'version' } } }]));

  test('starts one run for each move, also for several between two looks', async () => {
    const world = onMove();
    world.move(1, '1');
    await world.sweep();
    world.later();
    world.move(2, '2');
    world.move(3, '3');
    await world.sweep();
    await world.sweep();
    assert.deepEqual(ids(world), ['champion=2', 'champion=3']);
    assert.deepEqual(
      world.started.map(({ params }) => params),
      [{ version: '2' }, { version: '3' }],
    );
  });

  test('sees a move that was made in MLflow itself, once, also when the lane writes it down later', async () => {
    const world = onMove();
    world.move(1, '1');
    await world.sweep();
    world.later();
    world.aliases['champion'] = '5';
    await world.sweep();
    await world.sweep();
    world.move(2, '5', { kind: 'outside', base: 1 });
    world.later();
    await world.sweep();
    assert.deepEqual(ids(world), ['champion=5']);
  });

  test('sees each move outside of Anneal once, also back to a version that it was at before', async () => {
    const world = onMove();
    world.move(1, '1');
    await world.sweep();
    for (const version of ['2', '1', '2', '1', '2']) {
      world.later();
      world.aliases['champion'] = version;
      await world.sweep();
      await world.sweep();
    }
    // The lane writes down the last one only.
    world.move(2, '2', { kind: 'outside', base: 1 });
    await world.sweep();
    world.aliases['champion'] = '1';
    await world.sweep();
    world.move(3, '2');
    await world.sweep();
    assert.deepEqual(
      ids(world).map((id) => id.slice(-1)),
      ['2', '1', '2', '1', '2', '1', '2'],
    );
  });

  test('starts one run for a move outside of Anneal when the worker dies before it wrote that down', async () => {
    const world = onMove();
    world.move(1, '1');
    await world.sweep();
    world.later();
    world.aliases['champion'] = '2';
    world.crash = true;
    await world.sweep();
    world.crash = false;
    world.move(2, '2', { kind: 'outside', base: 1 });
    world.later();
    await world.sweep();
    assert.deepEqual(ids(world), ['champion=2']);
  });

  test('does not take a move that the lane is about to finish for somebody else’s', async () => {
    const world = onMove();
    world.move(1, '1');
    await world.sweep();
    world.later();
    const settle = world.move(2, '2', { underWay: true });
    await world.sweep();
    settle();
    world.later();
    await world.sweep();
    assert.deepEqual(
      world.started.map(({ event }) => event.id),
      ['2'],
    );
  });

  test('starts nothing when the alias is removed, or a late write is put back', async () => {
    const world = onMove();
    world.move(1, '1');
    await world.sweep();
    world.later();
    world.move(2, null, { kind: 'demote' });
    world.move(3, '1', { kind: 'repair' });
    await world.sweep();
    assert.deepEqual(ids(world), []);
  });
});

test('triggers that cannot be are refused', () => {
  const problems = (...pipelines: PipelineDefinition[]) => triggerProblems(pipelines).join('\n');
  assert.match(
    problems(pipeline('a', [{ after: 'ab' }])),
    /of pipeline "a" is wrong: there is no pipeline "ab"/,
  );
  assert.match(problems(pipeline('a', [{ alias: 'churn' }])), /"churn" is no alias; write such as/);
  assert.match(
    problems(pipeline('a', [{ alias: 'churn@champion', params: { verson: 1 } }])),
    /no parameter "verson".*"version"/,
  );
  const from = (path: string) => [{ alias: 'churn@champion', params: { version: { from: path } } }];
  assert.match(problems(pipeline('a', from('verson'))), /its event has no "verson".*"version"/);
  assert.match(problems(pipeline('a', from('result.version'))), /its event has no "result"/);
  assert.equal(problems(pipeline('a', from('version'))), '');
  assert.match(
    problems(pipeline('a', [{ alias: 'churn@champion', params: { n: 'three' } }])),
    /of pipeline "a" is wrong: its parameter "n" is "three"; it must be a number/,
  );
  assert.match(
    problems(pipeline('a', [{ after: 'a', on: ['ended' as 'completed'] }])),
    /"ended" is none of completed, not-promoted/,
  );
  assert.equal(
    problems(
      pipeline('a', [{ after: 'c' }]),
      pipeline('b', [{ after: 'a' }]),
      pipeline('c', [{ after: 'b' }]),
    ),
    'Pipelines start each other for ever: a → b → c → a. Take one of these triggers out.',
  );
  assert.equal(problems(pipeline('a'), pipeline('b', [{ after: 'a' }, { alias: 'churn@champion' }])), '');
});
