import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  approval,
  dataset,
  definePipeline,
  defineStep,
  defineTask,
  integer,
  log,
  metrics,
  now,
  parallelMap,
  random,
  sleep,
} from '../../src/pipeline/index.js';
import {
  approve,
  fakePipeline,
  fakeStep,
  fakeTask,
  reject,
  runPipeline,
  succeed,
} from '../../src/testing/index.js';

const score = defineStep({
  name: 'score',
  inputs: { n: integer({ default: 1 }) },
  outputs: { data: dataset(), metrics: metrics({ f1: 'number', loss: 'number' }) },
  command: () => ['true'],
});
const count = defineTask<(input: { readonly n: number }) => number>('count');
const scores = fakeStep(score, ({ inputs }) => ({ metrics: { f1: inputs.n } }));

describe('the testing kit', () => {
  test('lets a month pass in no time', async () => {
    const waits = definePipeline({ name: 'waits' }, async () => {
      const before = now().getTime();
      await sleep('30d');
      return now().getTime() - before;
    });
    const run = await runPipeline(waits);
    assert.equal(run.result, 30 * 86_400_000);
    assert.equal(run.elapsedMs, 30 * 86_400_000);
  });

  test('runs a thousand steps side by side, each for its own virtual time', async () => {
    const wide = definePipeline({ name: 'wide' }, async () => {
      const items = Array.from({ length: 1_000 }, (_, n) => n);
      const done = await parallelMap(items, async (n) => (await score({ n })).metrics.values.f1);
      return done.length;
    });
    const run = await runPipeline(wide, {
      fakes: [
        fakeStep(score, ({ inputs }) => succeed({ metrics: { f1: inputs.n } }, { takes: `${inputs.n}s` })),
      ],
    });
    assert.equal(run.result, 1_000);
    assert.equal(run.elapsedMs, 999_000);
  });

  test('says which metric a fake must give, when the pipeline reads it', async () => {
    const reads = definePipeline({ name: 'reads' }, async () => (await score({})).metrics.values.loss);
    await assert.rejects(
      runPipeline(reads, { fakes: [scores] }),
      /reads metric "loss" of step "score", which no fake gives. Add it to the fake of that step: \{ metrics: \{ loss: \.\.\. \} \}/,
    );
  });

  test('refuses fakes that give what the step does not have, and two fakes of one step', async () => {
    const one = definePipeline({ name: 'one' }, async () => (await score({})).data.digest);
    await assert.rejects(
      runPipeline(one, { fakes: [fakeStep(score, { weights: 'x' } as never)] }),
      /gives output "weights"; the step has data, metrics/,
    );
    await assert.rejects(
      runPipeline(one, { fakes: [fakeStep(score, { metrics: { auc: 1 } } as never)] }),
      /gives metric "auc"; output "metrics" has f1, loss/,
    );
    await assert.rejects(runPipeline(one, { fakes: [scores, scores] }), /two fakes of step "score"/);
    await assert.rejects(
      runPipeline(one, { fakes: [fakeStep(score, () => assert.fail('the fake looked at its inputs'))] }),
      /the fake looked at its inputs/,
    );
  });

  test('refuses a task without a fake, and tries one that throws again', async () => {
    const counts = definePipeline({ name: 'counts' }, async () => await count({ n: 2 }));
    await assert.rejects(runPipeline(counts), /calls task "count", which has no fake/);
    let tries = 0;
    const flaky = fakeTask(count, ({ n }) => {
      if (++tries < 3) throw new Error('connection reset');
      return 10 * n;
    });
    const run = await runPipeline(counts, { fakes: [flaky] });
    assert.equal(run.result, 20);
    assert.equal(run.call('count').attempts, 3);
    assert.equal(run.elapsedMs, 3_000);
    const failed = await runPipeline(counts, { fakes: [fakeTask(count, () => assert.fail('down'))] });
    assert.deepEqual(failed.failure, { code: 'TaskFailed', message: 'Task "count" threw: down' });
  });

  test('notices code that would take another way after continue-as-new', async () => {
    let runs = 0;
    const wanders = definePipeline({ name: 'wanders' }, async () => {
      runs++;
      await score({ n: runs });
      return 1;
    });
    await assert.rejects(
      runPipeline(wanders, { fakes: [scores] }),
      (error: Error & { code?: string }) =>
        error.code === 'NotRepeatable' &&
        /"wanders" took another way .* it asked for step "score"/.test(error.message),
    );
    const dice = definePipeline({ name: 'dice' }, async () => await Promise.resolve(++runs));
    await assert.rejects(runPipeline(dice), /it ended with \d+, the first time with \d+/);
    assert.equal(typeof (await runPipeline(dice, { checkRepeatable: false })).result, 'number');
    const recorded = definePipeline(
      { name: 'recorded' },
      async () => await Promise.resolve([random(), now().getTime()]),
    );
    assert.deepEqual((await runPipeline(recorded)).result, (await runPipeline(recorded)).result);
  });

  test('runs that overlap do not see each other', async () => {
    const slow = definePipeline({ name: 'slow', params: { n: integer() } }, async ({ n }) => {
      await sleep('1h');
      const made = await score({ n });
      log('scored', { n });
      return made.metrics.values.f1;
    });
    const runs = await Promise.all(
      [1, 2, 3].map(async (n) => await runPipeline(slow, { parameters: { n }, fakes: [scores] })),
    );
    assert.deepEqual(
      runs.map((run) => run.result),
      [1, 2, 3],
    );
    assert.deepEqual(
      runs.map((run) => run.logs),
      [1, 2, 3].map((n) => [{ message: 'scored', fields: { n } }]),
    );
  });

  test('hands out decisions in the order of openings, and shows a gate that nobody decides', async () => {
    const asks = definePipeline({ name: 'asks' }, async () => {
      const { data } = await score({});
      for (;;) {
        try {
          return (await approval('go', { subject: data })).by;
        } catch {
          await sleep('1h');
        }
      }
    });
    const run = await runPipeline(asks, { decisions: { go: [reject('ana'), approve('bo')] } });
    assert.equal(run.result, 'bo');
    assert.equal(run.elapsedMs, 3_600_000);
    const open = await runPipeline(asks);
    assert.equal(open.state, 'waiting-for-approval');
    assert.deepEqual(open.waitingFor, ['go']);
    assert.throws(() => open.result, /The run has no result \(waiting-for-approval\)/);
  });

  test('replaces a sub-pipeline, or runs it for real', async () => {
    const inner = definePipeline(
      { name: 'inner', params: { n: integer() } },
      async ({ n }) => (await score({ n })).metrics.values.f1,
    );
    const outer = definePipeline(
      { name: 'outer' },
      async () => (await inner({ n: 4 })) + (await inner({ n: 5 })),
    );
    assert.equal((await runPipeline(outer, { fakes: [scores] })).result, 9);
    const replaced = await runPipeline(outer, { fakes: [fakePipeline(inner, ({ n }) => 10 * n)] });
    assert.equal(replaced.result, 90);
    assert.deepEqual(replaced.steps, []);
  });

  test('says so when a pipeline waits for what is not Anneal’s', async () => {
    const hangs = definePipeline({ name: 'hangs' }, async () => await new Promise<never>(() => undefined));
    await assert.rejects(runPipeline(hangs), /"hangs" waits for something that will not come/);
  });
});
