import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import type { StepOutputsReport } from '../../src/client/index.js';
import { cli } from './fake-cli.js';

const made: StepOutputsReport = {
  runId: 'churn-1',
  call: {
    id: '1',
    kind: 'step',
    name: 'ingest',
    state: 'succeeded',
    attempt: 1,
    startedAtMs: 0,
    endedAtMs: 2_000,
  },
  outputs: [
    {
      name: 'data',
      kind: 'Dataset',
      uri: 'file:///store/data',
      digest: 'a'.repeat(64),
      sizeBytes: 2_048,
      form: 'file',
      values: {},
      fileCount: 1,
      preview: {
        type: 'table',
        format: 'csv',
        columns: [
          { name: 'id', type: 'integer' },
          { name: '\u001b[31mname', type: 'string' },
        ],
        rowCount: 1_000,
        rowsAtLeast: true,
        rows: [['1', 'a\u001b]0;title\u0007b']],
      },
    },
    {
      name: 'odd',
      kind: 'Report',
      uri: 'file:///store/odd',
      digest: 'b'.repeat(64),
      sizeBytes: 4,
      form: 'file',
      values: {},
      fileCount: 1,
      preview: { type: 'none', why: 'it is neither HTML nor Markdown' },
    },
  ],
  parameters: { rows: 1_000 },
};

describe('anneal describe RUN STEP', () => {
  const client = { outputs: () => Promise.resolve(made) };

  test('shows what the step made, without what would move the cursor', async () => {
    const { code, out } = await cli(['describe', 'churn-1', 'ingest'], { client });
    assert.equal(code, 0);
    assert.match(out, /data {2}Dataset, 2Ki, digest aaaaaaaaaaaa/);
    assert.match(out, /CSV: at least 1000 rows, 2 columns/);
    assert.match(out, /id \(integer\) +name \(string\)\n +1 +ab\n/);
    assert.match(out, /\(no preview: it is neither HTML nor Markdown\)/);
    assert.match(out, /rows = 1000/);
    assert.ok(!out.includes('\u001b'));
  });

  test('gives everything as JSON', async () => {
    const { document } = await cli(['describe', 'churn-1', 'ingest', '--json'], { client });
    assert.deepEqual(document(), made);
  });
});
