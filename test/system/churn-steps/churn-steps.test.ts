import { test, describe, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { appendFile, mkdtemp, readFile, readdir, rm, stat, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { example, python, start, step, succeed } from './python-process.js';

const skip =
  python === '' ? 'ANNEAL_TEST_PYTHON names no interpreter with examples/churn/requirements.txt' : false;
const schema = join(example, 'schema.yaml');

type Table = 'mlc_churn' | 'wa_churn';

// A skipped suite is not counted, a skipped test is.
if (skip) test('the steps of the churn example run end to end', { skip }, () => undefined);

describe('the steps of the churn example', { skip }, () => {
  let directory = '';
  const at = (name: string): string => join(directory, name);

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'anneal-churn-'));
    await prepare('mlc_churn');
  });
  after(() => rm(directory, { recursive: true, force: true }));

  /** Runs ingest, validation and features: `<table>-train.parquet` and `<table>-test.parquet`. */
  async function prepare(table: Table): Promise<void> {
    const [data, valid] = [at(`${table}.parquet`), at(`${table}-valid.parquet`)];
    await succeed('ingest.py', ['--table', table, '--output', data]);
    const checks = ['--schema', schema, '--report', at(`${table}-report.json`)];
    await succeed('validate_data.py', ['--data', data, '--output', valid, ...checks]);
    const sets = [
      '--output-train',
      at(`${table}-train.parquet`),
      '--output-test',
      at(`${table}-test.parquet`),
    ];
    await succeed('features.py', ['--data', valid, ...sets]);
  }

  function trainArguments(name: string, table: Table = 'mlc_churn'): string[] {
    return [
      ...[
        '--train',
        at(`${table}-train.parquet`),
        '--model',
        at(`${name}-model`),
        '--metrics',
        at(`${name}.json`),
      ],
      ...['--checkpoint-dir', at(`${name}-checkpoints`), '--metrics-stream', at(`${name}.jsonl`)],
    ];
  }

  async function evaluate(name: string, table: Table = 'mlc_churn'): Promise<Record<string, number>> {
    const files = ['--model', at(`${name}-model`), '--test', at(`${table}-test.parquet`)];
    await succeed('evaluate.py', [
      ...files,
      '--metrics',
      at(`${name}-e.json`),
      '--report',
      at(`${name}-e.md`),
    ]);
    return readNumbers(at(`${name}-e.json`));
  }

  const curve = async (name: string): Promise<unknown[]> =>
    (await readFile(at(`${name}.jsonl`), 'utf8'))
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown);

  test('mlc_churn passes the gate at 0.85, and the report holds the metrics', async () => {
    const training = await succeed('train.py', trainArguments('mlc'));
    assert.match(training.output, /training on the CPU/);
    const metrics = await evaluate('mlc');
    assert.deepEqual(Object.keys(metrics).sort(), ['accuracy', 'auc', 'f1', 'rows']);
    assert.ok((metrics['f1'] ?? 0) > 0.92, `F1 is ${String(metrics['f1'])}`);
    assert.match(await readFile(at('mlc-e.md'), 'utf8'), /\| F1, weighted \| 0\.9\d{3} \|/);
    const descriptor = await readFile(at('mlc-model/MLmodel'), 'utf8');
    assert.match(descriptor, /serialization_format: skops/);
    assert.match(descriptor, /"total_day_minutes"/);
    await stat(at('mlc-model/input_example.json'));
  });

  test('wa_churn stays below the gate at 0.85', async () => {
    await prepare('wa_churn');
    await succeed('train.py', trainArguments('wa', 'wa_churn'));
    const { f1 = 0 } = await evaluate('wa', 'wa_churn');
    assert.ok(f1 > 0.75 && f1 < 0.83, `F1 is ${String(f1)}`);
  });

  test('features are the same files every time', async () => {
    const sets = ['--output-train', at('again-train.parquet'), '--output-test', at('again-test.parquet')];
    await succeed('features.py', ['--data', at('mlc_churn-valid.parquet'), ...sets]);
    for (const set of ['train', 'test']) {
      const [first, second] = [`mlc_churn-${set}.parquet`, `again-${set}.parquet`].map((name) =>
        readFile(at(name)),
      );
      assert.deepEqual(await first, await second);
    }
  });

  test('broken data exits 65 with every broken expectation on its own line', async () => {
    const spoil = `
import pandas, sys
data = pandas.read_parquet(sys.argv[1]).head(500)
data["account_length"] = -1
data["state"] = data["state"].where(data.index > 3, "XX")
data["total_day_minutes"] = data["total_day_minutes"].where(data.index % 5 > 0)
data["total_eve_calls"] = "many"
data.drop(columns="area_code").assign(extra=1).to_parquet(sys.argv[2])`;
    const spoiled = await start(['-c', spoil, at('mlc_churn.parquet'), at('spoiled.parquet')]).ended;
    assert.equal(spoiled.code, 0, spoiled.output);
    const files = [
      '--data',
      at('spoiled.parquet'),
      '--report',
      at('spoiled.json'),
      '--output',
      at('spoiled-valid.parquet'),
    ];
    const outcome = await step('validate_data.py', ['--schema', schema, ...files]).ended;
    assert.equal(outcome.code, 65, outcome.output);
    const lines = outcome.output.split('\n').filter((line) => line.startsWith('- '));
    const expected = [
      /^- table: expected more than 1000 rows, found 500$/,
      /^- state: expected one of AK, .* found XX \(4 of 500 rows\)$/,
      /^- account_length: expected range 1 to 400, found -1 \(500 of 500 rows\)$/,
      /^- area_code: column is missing$/,
      /^- total_day_minutes: expected null rate below 5%, found 20\.0%$/,
      /^- total_eve_calls: expected type integer, found (str|object)$/,
      /^- extra: column is not in the schema$/,
    ];
    assert.equal(lines.length, expected.length, outcome.output);
    expected.forEach((pattern, index) => assert.match(lines[index] ?? '', pattern));
    const report = JSON.parse(await readFile(at('spoiled.json'), 'utf8')) as {
      passed: boolean;
      broken: string[];
    };
    assert.equal(report.passed, false);
    assert.equal(report.broken.length, expected.length);
    await assert.rejects(stat(at('spoiled-valid.parquet')));
  });

  describe('a training that is interrupted', { concurrency: 2 }, () => {
    before(async () => {
      await succeed('train.py', [...trainArguments('whole'), '--trees', '100']);
    });

    async function assertSameAsWhole(name: string): Promise<void> {
      assert.deepEqual(await readNumbers(at(`${name}.json`)), await readNumbers(at('whole.json')));
      assert.deepEqual(await curve(name), await curve('whole'));
      const left = (await readdir(at(`${name}-checkpoints`))).sort();
      assert.deepEqual(left, ['trees-000080.checkpoint', 'trees-000100.checkpoint']);
    }

    test('ends with the same model and one curve after SIGKILL', async () => {
      const slow = step('train.py', [
        ...trainArguments('killed'),
        '--trees',
        '100',
        '--seconds-per-tree',
        '0.02',
      ]);
      await slow.prints('trees 80/100');
      slow.child.kill('SIGKILL');
      assert.equal((await slow.ended).signal, 'SIGKILL');
      await appendFile(at('killed.jsonl'), '{"step": 100, "met');
      const resumed = await succeed('train.py', [...trainArguments('killed'), '--trees', '100']);
      assert.match(resumed.output, /resumed from checkpoint at 80 trees/);
      await assertSameAsWhole('killed');
      await assertSamePredictions('killed');
    });

    test('checkpoints and exits 143 on SIGTERM, then goes on', async () => {
      const slow = step('train.py', [
        ...trainArguments('stopped'),
        '--trees',
        '100',
        '--seconds-per-tree',
        '0.2',
      ]);
      await slow.prints('trees 20/100');
      slow.child.kill('SIGTERM');
      const outcome = await slow.ended;
      assert.equal(outcome.code, 143, outcome.output);
      const trees = /stopped by SIGTERM at (\d+) trees/.exec(outcome.output)?.[1] ?? '';
      assert.ok(Number(trees) >= 20 && Number(trees) < 40, outcome.output);
      const resumed = await succeed('train.py', [...trainArguments('stopped'), '--trees', '100']);
      assert.match(resumed.output, new RegExp(`resumed from checkpoint at ${trees} trees`));
      await assertSameAsWhole('stopped');
    });

    test('ends with the same model when SIGTERM cut its first block short', async () => {
      const slow = step('train.py', [
        ...trainArguments('early'),
        '--trees',
        '100',
        '--seconds-per-tree',
        '600',
      ]);
      await slow.prints('training on the CPU');
      slow.child.kill('SIGTERM');
      assert.equal((await slow.ended).code, 143);
      const resumed = await succeed('train.py', [...trainArguments('early'), '--trees', '100']);
      assert.match(resumed.output, /resumed from checkpoint at 1 trees/);
      await assertSameAsWhole('early');
      await assertSamePredictions('early');
    });

    test('passes over a truncated checkpoint to the one before it', async () => {
      await succeed('train.py', [...trainArguments('cut'), '--trees', '80']);
      const newest = at('cut-checkpoints/trees-000080.checkpoint');
      await truncate(newest, Math.floor((await stat(newest)).size / 2));
      const resumed = await succeed('train.py', [...trainArguments('cut'), '--trees', '100']);
      assert.match(resumed.output, /trees-000080\.checkpoint is not whole: ignored/);
      assert.match(resumed.output, /resumed from checkpoint at 60 trees/);
      await assertSameAsWhole('cut');
    });

    test('starts anew when the checkpoint belongs to other settings', async () => {
      await succeed('train.py', [...trainArguments('other'), '--trees', '40', '--depth', '2']);
      const again = await succeed('train.py', [...trainArguments('other'), '--trees', '40']);
      assert.match(again.output, /belongs to other data or settings: ignored/);
      assert.doesNotMatch(again.output, /resumed/);
    });

    test('does not die of an MLflow server that is away, and appends to the stream that Anneal names', async () => {
      const away = { MLFLOW_TRACKING_URI: 'http://127.0.0.1:9', ANNEAL_METRICS_STREAM: at('alone.jsonl') };
      const own = trainArguments('alone').slice(0, -2);
      const outcome = await step('train.py', [...own, '--trees', '40'], away).ended;
      assert.equal(outcome.code, 0, outcome.output);
      assert.equal((await curve('alone')).length, 2);
      assert.equal(outcome.output.match(/MLflow did not take the metrics/g)?.length, 1, outcome.output);
    });

    /** The probability of churn of every held-out customer is the same to the last bit. */
    async function assertSamePredictions(name: string): Promise<void> {
      const program = `
import sys, mlflow.sklearn, pandas
test = pandas.read_parquet(sys.argv[1]).drop(columns="churn")
for model in sys.argv[2:]:
    print(mlflow.sklearn.load_model(model).predict_proba(test)[:, 1].tobytes().hex())`;
      const models = [at('whole-model'), at(`${name}-model`)];
      const outcome = await start(['-c', program, at('mlc_churn-test.parquet'), ...models]).ended;
      assert.equal(outcome.code, 0, outcome.output);
      const [whole, other, ...rest] = outcome.output.trimEnd().split('\n');
      assert.equal(rest.length, 0, outcome.output);
      assert.equal(other, whole);
    }
  });
});

async function readNumbers(file: string): Promise<Record<string, number>> {
  return JSON.parse(await readFile(file, 'utf8')) as Record<string, number>;
}
