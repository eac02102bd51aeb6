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
  model,
  notify,
  number,
  parallelMap,
  registerModel,
  sleep,
  string,
} from '../../src/pipeline/index.js';

export const make = defineStep({
  name: 'make',
  inputs: { n: integer({ default: 0 }) },
  outputs: { data: dataset() },
  command: ({ inputs }) => ['make', inputs.n],
});
export const train = defineStep({
  name: 'train',
  inputs: { data: dataset() },
  outputs: { model: model(), score: metrics({ f1: 'number', kind: 'string' }) },
  command: ({ inputs }) => ['train', inputs.data.path],
  retry: { attempts: 3, delay: '20ms' },
});
export const hungry = defineStep({
  name: 'hungry',
  inputs: {},
  outputs: {},
  command: () => ['true'],
  resources: { memory: '2Gi' },
  retry: { attempts: 2, outOfMemory: { memory: 'x2', max: '6Gi' } },
});
export const huge = defineStep({
  name: 'huge',
  inputs: {},
  outputs: {},
  command: () => ['true'],
  resources: { memory: '512Gi' },
});
export const double = defineTask<(input: { readonly n: number }) => { readonly n: number }>('double');

export const careless = definePipeline({ name: 'careless' }, async () => {
  const { data } = await make({});
  const wrong = { model: data } as object as { data: typeof data };
  const caught = await train(wrong).catch((error: unknown) => failureCode(error));
  if (caught !== 'InvalidInput') throw new Error(`it failed with ${String(caught)}`);
  await train({} as { data: typeof data });
});

export const gate = definePipeline(
  {
    name: 'gate',
    params: {
      threshold: number({ default: 0.5, min: 0, max: 1 }),
      table: string({ oneOf: ['a', 'b'], default: 'a' }),
    },
    notify: { onFailure: ['night@example.org'] },
  },
  async ({ threshold }) => {
    const { data } = await make({ n: 1 });
    const { model: made, score } = await train({ data });
    const { f1 } = score.values;
    const before = await champion('churn');
    if (f1 < threshold) {
      await notify({ to: ['ana@example.org'], subject: `${f1} is too low`, text: before?.version ?? 'none' });
      return { promoted: false, f1 };
    }
    const { version, replaced } = await registerModel({
      name: 'churn',
      model: made,
      metrics: score,
      alias: 'champion',
    });
    return { promoted: true, version, replaced, before: before?.metrics ?? null };
  },
);

export const tooBig = definePipeline({ name: 'too-big' }, async () => await huge({}));

export const thrower = definePipeline(
  { name: 'thrower', notify: { onFailure: ['night@example.org'] } },
  async () => {
    await make({});
    throw new RangeError('off by one');
  },
);

export const memory = definePipeline({ name: 'memory' }, async () => {
  await hungry({});
});

export const catcher = definePipeline({ name: 'catcher' }, async () => {
  const { data } = await make({});
  try {
    await train({ data });
  } catch (error) {
    const code = failureCode(error);
    if (code === undefined) throw error;
    return code;
  } finally {
    await cleanup(async () => await make({ n: 99 }));
  }
  return 'no failure';
});

export const fan = definePipeline(
  { name: 'fan', params: { tolerate: integer({ default: 1 }) } },
  async ({ tolerate }) => {
    const results = await parallelMap(
      [1, 2, 3, 4],
      async (n) => {
        await make({ n });
        return (await double({ n })).n;
      },
      { concurrency: 2, tolerate },
    );
    return results.map((result) => (result.ok ? result.value : (failureCode(result.error) ?? 'other')));
  },
);

export const race = definePipeline({ name: 'race' }, async () => {
  return await Promise.race([sleep('10ms').then(() => 'short'), sleep('900ms').then(() => 'long')]);
});

export const asks = definePipeline(
  { name: 'asks', params: { expires: string({ default: '1h' }) } },
  async ({ expires }) => {
    const { data } = await make({ n: 1 });
    const { by, comment } = await approval('go-live', {
      subject: data,
      allowUnverified: true,
      approvers: ['ana', 'bo'],
      expires,
    });
    return { by, comment };
  },
);

export const outer = definePipeline({ name: 'outer' }, async () => {
  const inner = await gate({ threshold: 0.9 });
  try {
    await thrower({});
  } catch (error) {
    return { inner: inner.promoted, caught: failureCode(error) };
  }
  return { inner: inner.promoted, caught: 'nothing' };
});
