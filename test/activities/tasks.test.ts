import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createPipelineActivities } from '../../src/activities/pipelines.js';
import type { Json } from '../../src/core/json.js';
import { createContext, createFakeClock } from '../tracking/fixtures.js';

describe('a task', () => {
  test('heartbeats while it runs', async (t) => {
    t.mock.timers.enable({ apis: ['setInterval'] });
    let beats = 0;
    let finish: (value: string) => void = () => undefined;
    const { runTask } = compose(async () => await new Promise<Json>((resolve) => (finish = resolve)), {
      heartbeat: () => void (beats += 1),
    });
    const running = runTask({ task: 'load', input: 1 });
    t.mock.timers.tick(20_000);
    assert.ok(beats >= 2, `${beats} heartbeats in 20 s`);
    finish('done');
    assert.equal(await running, 'done');
    const before = beats;
    t.mock.timers.tick(20_000);
    assert.equal(beats, before);
  });

  test('is told when its run is cancelled, and that is not its failure', async () => {
    const cancel = new AbortController();
    const { runTask } = compose(
      async (_, signal) =>
        await new Promise<Json>((_resolve, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
        }),
      { signal: cancel.signal },
    );
    const running = runTask({ task: 'load', input: 1 });
    const reason = new Error('CANCELLED');
    cancel.abort(reason);
    await assert.rejects(running, (error) => error === reason);
  });

  test('fails by its own name when it throws', async () => {
    const { runTask } = compose(() => {
      throw new Error('no such table');
    });
    await assert.rejects(runTask({ task: 'load', input: 1 }), {
      code: 'TaskFailed',
      message: 'Task "load" threw: no such table',
    });
  });
});

function compose(
  load: (input: Json, signal: AbortSignal) => Promise<Json>,
  overrides: Parameters<typeof createContext>[0] = {},
) {
  return createPipelineActivities({
    snapshot: () => Promise.reject(new Error('not used here')),
    cache: {
      ask: () => Promise.resolve({ kind: 'claimed', generation: 1 }),
      store: () => Promise.resolve(),
      close: () => Promise.resolve(),
    },
    clock: createFakeClock(),
    directory: () => Promise.resolve({ approvers: [], groups: {} }),
    tasks: { load },
    context: createContext(overrides),
    readPrincipal: () => Promise.resolve(undefined),
    verify: () => false,
  });
}
