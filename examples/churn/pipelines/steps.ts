import { dataset, defineStep, integer, metrics, model, number, report, string } from 'anneal';

/** One locked environment for all steps; it is part of their cache keys. */
const python = { requirements: 'examples/churn/requirements.txt' };
const code = (...files: string[]) => files.map((file) => `examples/churn/steps/${file}`);

export const ingest = defineStep({
  name: 'ingest',
  code: code('ingest.py'),
  python,
  inputs: { table: string({ oneOf: ['mlc_churn', 'wa_churn'] }) },
  outputs: { data: dataset() },
  command: ({ inputs, outputs }) => [
    'python',
    'ingest.py',
    '--table',
    inputs.table,
    '--output',
    outputs.data.path,
  ],
  // The tables come with a package of the lock, so that the version need not change when they do.
  cache: { ttl: '12h', version: '1' },
});

export const validateData = defineStep({
  name: 'validate-data',
  code: [...code('validate_data.py'), 'examples/churn/schema.yaml'],
  python,
  inputs: { data: dataset() },
  outputs: { data: dataset(), report: report() },
  command: ({ inputs, outputs }) => [
    'python',
    'validate_data.py',
    '--data',
    inputs.data.path,
    '--schema',
    'schema.yaml',
    '--report',
    outputs.report.path,
    '--output',
    outputs.data.path,
  ],
  cache: { ttl: '12h' },
});

export const computeFeatures = defineStep({
  name: 'compute-features',
  code: code('features.py'),
  python,
  inputs: { data: dataset() },
  outputs: { train: dataset(), test: dataset() },
  command: ({ inputs, outputs }) => [
    'python',
    'features.py',
    '--data',
    inputs.data.path,
    '--output-train',
    outputs.train.path,
    '--output-test',
    outputs.test.path,
  ],
  cache: { ttl: '12h' },
});

export const trainModel = defineStep({
  name: 'train-model',
  code: code('train.py'),
  python,
  inputs: {
    train: dataset(),
    trees: integer({ default: 200, min: 20, max: 2000 }),
    depth: integer({ default: 3, min: 1, max: 10 }),
    secondsPerTree: number({ default: 0, min: 0, max: 10 }),
  },
  outputs: { model: model(), metrics: metrics({ train_loss: 'number' }) },
  command: ({ inputs, outputs }) => [
    'python',
    'train.py',
    ...['--train', inputs.train.path],
    ...['--trees', inputs.trees, '--depth', inputs.depth, '--seconds-per-tree', inputs.secondsPerTree],
    ...['--model', outputs.model.path, '--metrics', outputs.metrics.path],
  ],
  resources: { gpu: 1 },
  retry: { attempts: 3, delay: '5m' },
  timeout: '2h',
});

export const evaluateModel = defineStep({
  name: 'evaluate-model',
  code: code('evaluate.py'),
  python,
  inputs: { model: model(), test: dataset() },
  outputs: { metrics: metrics({ f1: 'number', accuracy: 'number', auc: 'number' }), report: report() },
  command: ({ inputs, outputs }) => [
    'python',
    'evaluate.py',
    '--model',
    inputs.model.path,
    '--test',
    inputs.test.path,
    '--metrics',
    outputs.metrics.path,
    '--report',
    outputs.report.path,
  ],
});
