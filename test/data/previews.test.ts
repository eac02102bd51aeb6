import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';

import { previewCsv } from '../../src/adapters/artifact-previews/csv-preview.js';
import { makePreview } from '../../src/adapters/artifact-previews/make-preview.js';
import { PREVIEW_BYTES, type ArtifactPreview } from '../../src/core/artifact-preview.js';
import type { ArtifactKind, MetricValues } from '../../src/core/artifacts.js';
import { bundleProgram } from '../executor/bundle-program.js';

let program = new URL('file:///none');
before(async () => {
  program = pathToFileURL(await bundleProgram('../../src/adapters/artifact-previews/parquet-worker.ts'));
});
after(async () => {
  await rm(path.dirname(fileURLToPath(program)), { recursive: true, force: true });
});

async function previewOf(
  kind: ArtifactKind,
  contents: string | Uint8Array | { readonly [file: string]: string | Uint8Array },
  values: MetricValues = {},
): Promise<ArtifactPreview | undefined> {
  const folder = await mkdtemp(path.join(tmpdir(), 'anneal-preview-'));
  try {
    const localPath = path.join(folder, 'out');
    const isOne = typeof contents === 'string' || contents instanceof Uint8Array;
    const files = Object.entries(isOne ? { '': contents } : contents);
    for (const [file, content] of files) {
      const target = path.join(localPath, file);
      await mkdir(path.dirname(target), { recursive: true });
      await writeFile(target, content);
    }
    const preview = await makePreview(
      { kind, localPath, files: files.map(([file]) => file), values },
      { program },
    );
    assert.ok(Buffer.byteLength(JSON.stringify(preview ?? null)) <= PREVIEW_BYTES);
    return preview;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const table = async (...of: Parameters<typeof previewOf>) => {
  const preview = await previewOf(...of);
  assert.equal(preview?.type, 'table', JSON.stringify(preview));
  return preview;
};

describe('the preview of a CSV file', () => {
  test('has columns with types, the number of rows and the first ones', async () => {
    const rows = Array.from({ length: 1_000 }, (_, i) => `${i},${i / 4},"name, ${i}",${i % 2 === 0},`);
    const preview = await table('Dataset', `id,score,name,left,note\n${rows.join('\n')}\n`);
    assert.deepEqual(preview.columns, [
      { name: 'id', type: 'integer' },
      { name: 'score', type: 'number' },
      { name: 'name', type: 'string' },
      { name: 'left', type: 'boolean' },
      { name: 'note', type: 'empty' },
    ]);
    assert.equal(preview.rowCount, 1_000);
    assert.equal(preview.rowsAtLeast, undefined);
    assert.deepEqual(preview.rows[1], ['1', '0.25', 'name, 1', 'false', '']);
    assert.equal(preview.rows.length, 5);
  });

  test('names the file of a directory, and takes other delimiters and tables without names', async () => {
    const preview = await table('Dataset', { 'a/part.csv': '1;2\n3;4\n', 'z.bin': 'x' });
    assert.equal(preview.file, 'a/part.csv');
    assert.deepEqual(
      preview.columns.map(({ name }) => name),
      ['column 1', 'column 2'],
    );
    assert.equal(preview.rowCount, 2);
  });

  test('is bounded for huge cells, thousands of columns and rows without end', async () => {
    const wide = Array.from({ length: 5_000 }, (_, i) => `c${i}${'w'.repeat(200)}`).join(',');
    const many = await table('Dataset', `${wide}\n${wide}\n`);
    assert.equal(many.columnCount, 200);
    const huge = await previewOf('Dataset', { 'a.csv': `a,b\n1,"${'x'.repeat(3 * 1024 * 1024)}` });
    assert.equal(huge?.type, 'table');
    assert.match(huge.note ?? '', /row 2 cannot be read: .*[Mm]ax.*/);
    const cell = await table('Dataset', `a,b\n1,${'x'.repeat(500_000)}\n`);
    assert.equal(cell.rows[0]?.[1]?.length, 80);
  });

  test('says that there are more rows where it did not count to the end', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'anneal-preview-'));
    const file = path.join(folder, 'a.csv');
    const text = `a,b\n${'1,2\n'.repeat(10_000)}`;
    await writeFile(file, text);
    const of = { head: text.slice(0, 1_000), sizeBytes: text.length, named: true };
    const preview = await previewCsv(file, of, { bytes: 10_001, ms: 10_000 });
    assert.equal(preview?.rowsAtLeast, true);
    assert.ok(preview.rowCount > 2_000 && preview.rowCount < 3_000);
    await rm(folder, { recursive: true });
  });
});

describe('the preview of a Parquet file', () => {
  test('has its schema, number of rows and the first ones', async () => {
    const preview = await table('Dataset', { 'part-0.parquet': smallParquet() });
    assert.equal(preview.format, 'parquet');
    assert.equal(preview.file, 'part-0.parquet');
    assert.deepEqual(preview.columns, [{ name: 'n', type: 'int32' }]);
    assert.equal(preview.rowCount, 3);
    assert.deepEqual(preview.rows, [['7'], ['8'], ['9']]);
  });

  test('that is damaged, cut off or lies about its length says why', async () => {
    const whole = smallParquet();
    const cases = {
      'cut.parquet': whole.subarray(0, 20),
      'noise.parquet': Buffer.concat([Buffer.from('PAR1'), Buffer.alloc(200, 0xff), Buffer.from('PAR1')]),
      'long.parquet': Buffer.concat([
        Buffer.from('PAR1'),
        Buffer.from([0xff, 0xff, 0xff, 0x7f]),
        Buffer.from('PAR1'),
      ]),
    };
    for (const [name, bytes] of Object.entries(cases)) {
      const preview = await previewOf('Dataset', { [name]: bytes });
      assert.equal(preview?.type, 'none', name);
      assert.match(preview.why, /could not be read: (parquet|it would|Offset|Invalid|it took)/, name);
    }
  });
});

/** A Parquet file with one column `n` of three 32-bit integers: 7, 8, 9; written by pyarrow 25. */
function smallParquet(): Buffer {
  return Buffer.from(
    'UEFSMRUAFSQVJCwVBhUAFQYVBhwAAAACAAAABgEHAAAACAAAAAkAAAAVBBksNQAYBnNjaGVtYRUCABUCJQIYAW4AFgYZHBkcJgAcFQIZJQYAGRgBbhUAFgYWShZKJghJHBUA' +
      'FQAVAgA8KQYZJgAGAAAAFkoWBiYIFkoAKCBwYXJxdWV0LWNwcC1hcnJvdyB2ZXJzaW9uIDI1LjAuMRkcHAAAAHoAAABQQVIx',
    'base64',
  );
}

describe('the preview of', () => {
  test('a report has its title, format and size', async () => {
    assert.deepEqual(await previewOf('Report', '<!DOCTYPE html><title>Q &amp; A\n 2026</title>'), {
      type: 'report',
      format: 'html',
      title: 'Q & A 2026',
      sizeBytes: 45,
    });
    assert.deepEqual(await previewOf('Report', { 'x.css': '', 'report.html': '<h1>Hello</h1>' }), {
      type: 'report',
      format: 'html',
      title: 'Hello',
      sizeBytes: 14,
      file: 'report.html',
    });
    const markdown = await previewOf('Report', 'text\n\n## Findings\n');
    assert.deepEqual(markdown, { type: 'report', format: 'markdown', title: 'Findings', sizeBytes: 18 });
    assert.equal((await previewOf('Report', Buffer.from([0x25, 0x50, 0x44, 0x46])))?.type, 'none');
  });

  test('a model has its flavours and signature', async () => {
    const mlmodel = [
      'flavors:',
      '  python_function: {loader_module: mlflow.sklearn}',
      '  sklearn: {pickled_model: model.pkl}',
      'mlflow_version: 3.1.0',
      'signature:',
      `  inputs: '[{"type": "double", "name": "age", "required": true}]'`,
      `  outputs: '[{"type": "tensor", "tensor-spec": {"dtype": "int64", "shape": [-1]}}]'`,
    ].join('\n');
    assert.deepEqual(await previewOf('Model', { MLmodel: mlmodel, 'model.pkl': 'x' }), {
      type: 'model',
      flavors: ['python_function', 'sklearn'],
      mlflowVersion: '3.1.0',
      inputs: [{ name: 'age', type: 'double' }],
      outputs: [{ name: 'column 1', type: 'int64[-1]' }],
    });
  });

  test('a model whose MLmodel is hostile says why', async () => {
    for (const mlmodel of [
      '['.repeat(100_000),
      'a: &a [1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b,*b,*b,*b,*b,*b]',
    ])
      assert.notEqual(await previewOf('Model', { MLmodel: mlmodel }), undefined);
    assert.deepEqual(await previewOf('Model', { 'model.pkl': 'x' }), {
      type: 'none',
      why: 'it has no file MLmodel',
    });
  });

  test('metrics has the first values where there are many', async () => {
    assert.deepEqual(await previewOf('Metrics', '{}', { f1: 0.9 }), {
      type: 'metrics',
      values: { f1: 0.9 },
      count: 1,
    });
    const values = Object.fromEntries(
      Array.from({ length: 1_000 }, (_, i) => [`metric-${'m'.repeat(100)}${i}`, i]),
    );
    const many = await previewOf('Metrics', '{}', values);
    assert.equal(many?.type === 'metrics' && many.count, 1_000);
  });

  test('what is binary, empty or of no special kind is nothing, with why', async () => {
    assert.deepEqual(await previewOf('Dataset', Buffer.alloc(10)), {
      type: 'none',
      why: 'it is neither CSV nor Parquet',
    });
    assert.deepEqual(await previewOf('Dataset', ''), { type: 'none', why: 'it is empty' });
    assert.equal(await previewOf('Artifact', 'a,b\n1,2\n'), undefined);
  });
});
