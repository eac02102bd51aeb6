// What the compiler says of wirings. Never run: `npm run check` compiles it, and an expectation that no longer fails is an error.
import {
  approval,
  artifact,
  boolean,
  champion,
  dataset,
  definePipeline,
  defineStep,
  defineTask,
  integer,
  json,
  metrics,
  model,
  notify,
  number,
  parallelMap,
  promote,
  registerModel,
  report,
  secret,
  string,
  type ArtifactRef,
} from 'anneal';
import { failTimes, fakePipeline, fakeStep, fakeTask, runPipeline, succeed } from 'anneal/testing';

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
/** Compiles only for a value of exactly this type. */
declare function exactly<E>(): <A>(
  value: A,
  ...proof: Same<A, E> extends true ? [] : [{ readonly found: A; readonly expected: E }]
) => void;

const ingest = defineStep({
  name: 'ingest',
  inputs: { table: string({ oneOf: ['mlc_churn', 'wa_churn'] }) },
  outputs: { data: dataset() },
  command: ({ inputs, outputs }) => ['python', 'ingest.py', inputs.table, outputs.data.path],
});
const train = defineStep({
  name: 'train-model',
  inputs: {
    data: dataset(),
    trees: integer({ default: 200, min: 1 }),
    options: json<{ readonly depth: number }>({ default: { depth: 3 } }),
  },
  outputs: { model: model(), metrics: metrics({ f1: 'number', kind: 'string' }), report: report() },
  command: ({ inputs, outputs }) => [
    'python',
    'train.py',
    inputs.trees,
    inputs.data.path,
    outputs.model.path,
  ],
  env: { TOKEN: secret('warehouse', 'token'), MODE: 'fast' },
  retry: { attempts: 3, delay: '5m', outOfMemory: { memory: 'x2', max: '64Gi' } },
});
defineStep({
  name: 'stream',
  inputs: { images: dataset(), labels: dataset(), rows: integer() },
  outputs: {},
  access: { images: 'stream', labels: 'mount' },
  command: ({ inputs }) => {
    // @ts-expect-error what is streamed has no path
    void inputs.images.path;
    return ['read', inputs.images.uri, inputs.labels.path, inputs.rows];
  },
});
defineStep({
  name: 'parameter',
  inputs: { rows: integer(), data: dataset() },
  outputs: {},
  // @ts-expect-error a parameter is delivered in no other way
  access: { rows: 'stream' },
  command: ({ inputs }) => ['read', inputs.rows],
});
defineStep({
  name: 'way',
  inputs: { data: dataset() },
  outputs: {},
  // @ts-expect-error no such way
  access: { data: 'download' },
  command: () => ['read'],
});
const pick = defineStep({
  name: 'pick',
  inputs: { any: artifact() },
  outputs: { threshold: number(), label: string({ oneOf: ['a', 'b'] }) },
  command: ({ outputs }) => ['pick', outputs.threshold.path, outputs.label.path],
});
const countRows =
  defineTask<(input: { readonly table: string }) => Promise<{ readonly rows: number }>>('countRows');
const child = definePipeline(
  { name: 'child', params: { n: integer() } },
  async ({ n }) => await Promise.resolve({ twice: 2 * n }),
);

/** Right wirings, and the types that come out of them. */
export const right = definePipeline(
  {
    name: 'right',
    params: {
      table: string({ oneOf: ['mlc_churn', 'wa_churn'], default: 'mlc_churn' }),
      threshold: number({ default: 0.85 }),
      ask: boolean({ default: false }),
    },
    schedule: {
      cron: ['0 2 * * *'],
      every: { every: '6h' },
      calendar: { hour: [1, '3-5'] },
      overlap: 'skip',
    },
    partition: { keys: ['mlc_churn', 'wa_churn'], parameter: 'table' },
    triggers: [
      { after: 'child', params: { threshold: { from: 'result.twice' }, ask: true } },
      { alias: 'churn@champion' },
    ],
  },
  async ({ table, threshold, ask }) => {
    exactly<'mlc_churn' | 'wa_churn'>()(table);
    exactly<number>()(threshold);
    exactly<boolean>()(ask);
    const { data } = await ingest({ table });
    const trained = await train({ data });
    await train(
      { data, trees: 10, options: { depth: 4 } },
      { name: 'small', retry: { attempts: 1 }, cache: false },
    );
    exactly<number>()(trained.metrics.values.f1);
    exactly<string>()(trained.metrics.values.kind);
    const picked = await pick({ any: data });
    await pick({ any: trained.model });
    exactly<number>()(picked.threshold);
    exactly<'a' | 'b'>()(picked.label);
    const { rows } = await countRows({ table });
    exactly<number>()(rows);
    const { twice } = await child({ n: 2 });
    exactly<number>()(twice);
    const fan = await parallelMap(['a', 'b'], async (name, i) => await Promise.resolve(`${name}${i}`), {
      concurrency: 2,
    });
    for (const item of fan) if (item.ok) exactly<string>()(item.value);
    const { by } = await approval('promote', { subject: trained.model, approvers: ['ana'], expires: '3d' });
    exactly<string>()(by);
    const { form } = await approval('tune', {
      subject: trained.model,
      quorum: 2,
      expires: { after: '3d', outcome: 'reject' },
      form: { threshold: number({ min: 0, max: 1, default: 0.5 }), note: string() },
    });
    exactly<number>()(form.threshold);
    exactly<string>()(form.note);
    // @ts-expect-error a form has only what it declares
    void form.other;
    const { version } = await registerModel({
      name: 'm',
      model: trained.model,
      metrics: trained.metrics,
      alias: 'champion',
    });
    exactly<number>()(version);
    await promote({ name: 'm', version, alias: 'shadow' });
    exactly<{
      readonly version: string;
      readonly metrics: { readonly [name: string]: number };
      readonly digest?: string;
    } | null>()(await champion('m'));
    return { promoted: true, version };
  },
);

/** Wrong wirings. */
export const wrong = definePipeline({ name: 'wrong', params: { n: integer() } }, async (params) => {
  // @ts-expect-error no such parameter
  void params.m;
  // @ts-expect-error a value outside oneOf
  await ingest({ table: 'other' });
  const { data } = await ingest({ table: 'mlc_churn' });
  const { model: made, metrics: scores, report: page } = await train({ data });
  // @ts-expect-error a Metrics where a Dataset is asked
  await train({ data: scores });
  // @ts-expect-error a Model where a Dataset is asked
  await train({ data: made });
  // @ts-expect-error a path is no artifact
  await train({ data: 'data.parquet' });
  // @ts-expect-error a promise is no artifact: await it
  await train({ data: ingest({ table: 'mlc_churn' }) });
  // @ts-expect-error missing input
  await train({});
  // @ts-expect-error missing arguments
  await train();
  // @ts-expect-error unknown input
  await train({ data, tree: 3 });
  // @ts-expect-error a text where a number is asked
  await train({ data, trees: '3' });
  // @ts-expect-error JSON of another shape
  await train({ data, options: { depth: 'deep' } });
  // @ts-expect-error no such output
  void (await train({ data })).weights;
  // @ts-expect-error no such metric
  void scores.values.auc;
  // @ts-expect-error a Dataset has no metrics
  void data.values.f1;
  // @ts-expect-error artifacts cannot be changed
  data.digest = '';
  // @ts-expect-error a Dataset is not a Model
  await registerModel({ name: 'm', model: data });
  // @ts-expect-error a Report holds no metrics
  await registerModel({ name: 'm', model: made, metrics: page });
  // @ts-expect-error an artifact is no version
  await promote({ name: 'm', version: made });
  // @ts-expect-error an approval is of something
  await approval('promote', { expires: '3d' });
  // @ts-expect-error a table is no artifact
  await approval('promote', { subject: 'mlc_churn' });
  // @ts-expect-error a message has a subject
  await notify({ to: ['ana@example.org'], text: 'done' });
  // @ts-expect-error a task's input is typed
  await countRows({ rows: 3 });
  // @ts-expect-error a task's input is needed
  await countRows();
  // @ts-expect-error a task's output is typed
  void (await countRows({ table: 'a' })).columns;
  // @ts-expect-error a sub-pipeline's parameters are typed
  await child({ n: 'two' });
  // @ts-expect-error a sub-pipeline's parameters without default are needed
  await child({});
  // @ts-expect-error an option that a call does not have
  await train({ data }, { image: 'other' });
  // @ts-expect-error the factor is written x2
  await train({ data }, { retry: { outOfMemory: { memory: '2', max: '8Gi' } } });
  await parallelMap(
    [data],
    // @ts-expect-error the index is a number
    async (item: ArtifactRef<'Dataset'>, index: string) => await Promise.resolve([item, index]),
  );
  return {};
});

/** Wrong definitions. */
export const definitions = [
  // @ts-expect-error a default outside oneOf
  string({ oneOf: ['a', 'b'], default: 'c' }),
  // @ts-expect-error a default of another type
  number({ default: '1' }),
  // @ts-expect-error metrics are numbers or strings
  metrics({ f1: 'boolean' }),
  // @ts-expect-error a secret has two names
  secret('warehouse'),
  // @ts-expect-error an environment variable is a text or a secret
  defineStep({ name: 's', inputs: {}, outputs: {}, env: { TOKEN: 3 }, command: () => ['true'] }),
  // @ts-expect-error a command needs its program
  defineStep({ name: 's', inputs: {}, outputs: {} }),
  // @ts-expect-error a command may not name an input that is not declared
  defineStep({ name: 's', inputs: {}, outputs: {}, command: ({ inputs }) => [inputs.data.path] }),
  defineStep({
    name: 's',
    inputs: { data: dataset() },
    outputs: {},
    // @ts-expect-error an artifact in a command is its path or its uri
    command: ({ inputs }) => ['cat', inputs.data],
  }),
  // @ts-expect-error a secret is no argument: other people see command lines
  defineStep({ name: 's', inputs: {}, outputs: {}, command: () => ['curl', secret('warehouse', 'token')] }),
  // @ts-expect-error an input is a slot
  defineStep({ name: 's', inputs: { data: 'Dataset' }, outputs: {}, command: () => ['true'] }),
  // @ts-expect-error a pipeline takes parameters, not artifacts
  definePipeline({ name: 'p', params: { data: dataset() } }, async () => await Promise.resolve()),
  definePipeline(
    // @ts-expect-error an overlap that does not exist
    { name: 'p', schedule: { cron: '0 2 * * *', overlap: 'queue' } },
    async () => await Promise.resolve(),
  ),
  definePipeline(
    // @ts-expect-error a partition's parameter is one of the pipeline's
    { name: 'p', params: { day: string() }, partition: { by: 'day', parameter: 'dya' } },
    async () => await Promise.resolve(),
  ),
  definePipeline(
    // @ts-expect-error an outcome that does not exist
    { name: 'p', triggers: [{ after: 'other', on: ['ended'] }] },
    async () => await Promise.resolve(),
  ),
  definePipeline(
    // @ts-expect-error a schedule's parameters are the pipeline's
    { name: 'p', params: { n: integer({ default: 1 }) }, schedule: { cron: '0 2 * * *', params: { m: 1 } } },
    async () => await Promise.resolve(),
  ),
];

/** Fakes are typed by what they stand for. */
export async function tests(): Promise<void> {
  const run = await runPipeline(right, {
    parameters: { table: 'wa_churn' },
    fakes: [
      fakeStep(train, { metrics: { f1: 0.9 } }),
      fakeStep(train, ({ inputs, attempt }) =>
        attempt > 1
          ? succeed({ model: `${inputs.trees} trees` }, { takes: '2h' })
          : { metrics: { f1: inputs.options.depth } },
      ),
      fakeStep(pick, { threshold: 1, label: 'a' }),
      fakeStep(ingest, failTimes(2, 'StepFailed', { data: 'rows' })),
      fakeTask(countRows, ({ table }) => ({ rows: table.length })),
      fakePipeline(child, ({ n }) => ({ twice: n })),
    ],
  });
  exactly<{ promoted: boolean; version: number }>()(run.result);
  await runPipeline(right);
  await runPipeline(child, { parameters: { n: 1 } });
  // @ts-expect-error a parameter without default is needed
  await runPipeline(child);
  // @ts-expect-error a parameter without default is needed
  await runPipeline(child, { fakes: [] });
  // @ts-expect-error a value outside oneOf
  await runPipeline(right, { parameters: { table: 'other' } });
  // @ts-expect-error no such metric
  fakeStep(train, { metrics: { auc: 0.9 } });
  // @ts-expect-error a metric is a number
  fakeStep(train, { metrics: { f1: 'high' } });
  // @ts-expect-error no such output
  fakeStep(train, { weights: 'x' });
  // @ts-expect-error no such output
  fakeStep(train, () => ({ weights: 'x' }));
  // @ts-expect-error a metric is a number
  fakeStep(train, () => succeed({ metrics: { f1: 'high' } }));
  // @ts-expect-error a value outside oneOf
  fakeStep(pick, { label: 'c' });
  // @ts-expect-error no such failure
  fakeStep(train, failTimes(1, 'Exploded'));
  // @ts-expect-error the task's output is typed
  fakeTask(countRows, () => ({ columns: 3 }));
  // @ts-expect-error the sub-pipeline's result is typed
  fakePipeline(child, () => ({ thrice: 3 }));
}
