import { createDispatcher } from '../../src/workflows/index.js';
import {
  approval,
  champion,
  cleanup,
  dataset,
  definePipeline,
  defineStep,
  defineTask,
  failureCode,
  integer,
  metrics,
  now,
  number,
  parallelMap,
  random,
  registerModel,
  sleep,
  string,
  model,
} from '../../src/pipeline/index.js';
import { make } from './steps.js';

const use = defineStep({
  name: 'use',
  inputs: { data: dataset() },
  outputs: { score: metrics({ f1: 'number' }) },
  command: ({ inputs }) => ['use', inputs.data.path],
  retry: { attempts: 3, delay: '1s' },
});
const train = defineStep({
  name: 'train',
  inputs: { data: dataset() },
  outputs: { model: model(), score: metrics({ f1: 'number' }) },
  command: ({ outputs }) => ['train', outputs.model.path],
});
const big = defineStep({
  name: 'big',
  inputs: {},
  outputs: {},
  command: () => ['true'],
  resources: { memory: '512Gi' },
});
const echo = defineTask<(input: { readonly n: number }) => { readonly n: number }>('echo');

const plain = definePipeline(
  {
    name: 'plain',
    params: {
      threshold: number({ default: 0.5, min: 0, max: 1 }),
      table: string({ oneOf: ['a', 'b'], default: 'a' }),
    },
  },
  async ({ threshold }) => {
    const { data } = await make({ n: 1 });
    const { score } = await use({ data });
    return { promoted: score.values.f1 >= threshold, f1: score.values.f1 };
  },
);

const unfit = definePipeline({ name: 'unfit' }, async () => {
  await big({});
});

const broken = definePipeline({ name: 'broken', notify: { onFailure: ['night@example.org'] } }, async () => {
  await make({});
  throw new RangeError('off by one');
});

/** Everything whose order could go wrong when the run continues as new: lanes, races, sleeps, now, random, failures that are caught. */
const mixed = definePipeline({ name: 'mixed', params: { n: integer({ default: 12 }) } }, async ({ n }) => {
  const started = now().getTime();
  const trace: string[] = [];
  const fan = await parallelMap(
    Array.from({ length: n }, (_, i) => i),
    async (i) => {
      const { data } = await make({ n: i });
      trace.push(`made ${i}`);
      if (i % 3 === 0) await sleep('50ms');
      const { n: echoed } = await echo({ n: i });
      trace.push(`echoed ${echoed}`);
      return data.digest;
    },
    { concurrency: 4, tolerate: 2 },
  );
  const winner = await Promise.race([make({ n: 100 }).then(() => 'step'), sleep('20ms').then(() => 'sleep')]);
  const dice = [random(), random()];
  return {
    trace,
    winner,
    dice,
    started,
    elapsed: now().getTime() >= started,
    oks: fan.filter((item) => item.ok).length,
  };
});

const chain = definePipeline({ name: 'chain', params: { n: integer({ default: 10 }) } }, async ({ n }) => {
  let digests = 0;
  for (let i = 0; i < n; i++) digests += (await make({ n: i })).data.digest.length;
  return digests;
});

const same = definePipeline({ name: 'same', params: { n: integer({ default: 3 }) } }, async ({ n }) => {
  for (let i = 0; i < n; i++) await make({ n: 5 });
});

const caught = definePipeline({ name: 'caught' }, async () => {
  const { data } = await make({});
  try {
    await use({ data });
  } catch (error) {
    return failureCode(error) ?? 'none';
  }
  return 'no failure';
});

const cleaned = definePipeline({ name: 'cleaned' }, async () => {
  try {
    await make({ n: 1 });
    await make({ n: 2 });
  } finally {
    await cleanup(async () => await make({ n: 99 }));
  }
});

const gated = definePipeline(
  { name: 'gated', params: { expires: string({ default: '1h' }) } },
  async ({ expires }) => {
    const { data } = await make({ n: 1 });
    const { by } = await approval('go-live', {
      subject: data,
      allowUnverified: true,
      approvers: ['ana', 'bo'],
      expires,
    });
    await make({ n: 2 });
    return by;
  },
);

const registers = definePipeline({ name: 'registers' }, async () => {
  const { data } = await make({});
  const { model: made, score } = await train({ data });
  const before = await champion('churn');
  const { version } = await registerModel({ name: 'churn', model: made, metrics: score, alias: 'champion' });
  return { before: before?.version ?? null, version };
});

const parent = definePipeline({ name: 'parent' }, async () => {
  const results = await Promise.all([plain({ threshold: 0.1 }), plain({ threshold: 0.2 })]);
  return results.map((result) => result.promoted);
});

const wandering = definePipeline({ name: 'wandering' }, async () => {
  const first = globalThis as { wandered?: number };
  await make({ n: Math.floor(Date.now() / 1) % 2_000_000_000 });
  first.wandered = 1;
  await make({ n: Math.floor(Date.now() / 1) % 2_000_000_000 });
  await make({ n: Math.floor(Date.now() / 1) % 2_000_000_000 });
});

/** A person decides while another branch makes the history long, and a nap goes on all the while. */
const busyGate = definePipeline(
  { name: 'busy-gate', params: { n: integer({ default: 20 }) } },
  async ({ n }) => {
    const { data } = await make({ n: 1 });
    const decision = approval('go-live', { subject: data, allowUnverified: true, expires: '1h' });
    const nap = sleep('4s').then(() => now().getTime());
    for (let i = 0; i < n; i++) await make({ n: 100 + i });
    const { by } = await decision;
    return { by, woke: await nap };
  },
);

/** A branch fails while nobody awaits it. */
const lateAwait = definePipeline({ name: 'late-await' }, async () => {
  const { data } = await make({ n: 0 });
  const early = use({ data });
  await make({ n: 1 });
  await make({ n: 2 });
  try {
    await early;
  } catch (error) {
    return failureCode(error);
  }
  return 'no failure';
});

/** A branch fails while its sibling runs. */
const siblings = definePipeline({ name: 'siblings' }, async () => {
  await Promise.all([make({ n: 1 }), make({ n: 2 })]);
});

/** Two subjects wait at gates of one name. */
const twoAtOnce = definePipeline({ name: 'two-at-once' }, async () => {
  const made = await Promise.all([make({ n: 1 }), make({ n: 2 })]);
  const decided = await Promise.all(
    made.map(async ({ data }) => await approval('release', { subject: data, allowUnverified: true })),
  );
  return decided.map(({ by }) => by);
});

const bigResult = definePipeline({ name: 'big-result' }, async () => {
  await make({});
  return { n: 10n };
});

const wide = definePipeline({ name: 'wide', params: { n: integer({ default: 600 }) } }, async ({ n }) => {
  const items = await parallelMap(
    Array.from({ length: n }, (_, i) => i),
    async (i) => await make({ n: i }),
  );
  return items.length;
});

/** A step is retried while another branch makes the run continue as new, twice. */
const retriedAround = definePipeline({ name: 'retried-around' }, async () => {
  const { data } = await make({ n: 0 });
  const slow = use({ data }, { retry: { attempts: 2, delay: '6s' } });
  for (let i = 1; i <= 16; i++) await make({ n: i });
  return (await slow).score.values.f1;
});

const oneAtATime = definePipeline({ name: 'one-at-a-time', maxActiveRuns: 1 }, async () => {
  await make({});
});

export default createDispatcher({
  oneAtATime,
  lateAwait,
  siblings,
  twoAtOnce,
  bigResult,
  wide,
  retriedAround,
  busyGate,
  plain,
  unfit,
  broken,
  mixed,
  chain,
  same,
  caught,
  cleaned,
  gated,
  registers,
  parent,
  wandering,
});
