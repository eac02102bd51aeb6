import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';

import { runCrashpoints } from '../crashpoints/run-crashpoints.js';
import { s3Program } from '../store/s3-server.js';

const missing = ['ANNEAL_TEST_TEMPORAL', 'ANNEAL_TEST_MLFLOW', 'ANNEAL_TEST_S3'].filter(
  (name) => process.env[name] === undefined,
);
/** Another one draws other points. All of them: `npm run test:crashpoints`. */
const SEED = 20_261_123;

describe(
  'a process that is killed at one of its effects',
  { skip: missing.length > 0 && `${missing.join(', ')} not set` },
  () => {
    test('leaves a run that ends whole, for one point of each area, moment and victim', async (t) => {
      assert.ok(s3Program !== undefined);
      const folder = await mkdtemp(path.join(tmpdir(), 'anneal-crashpoints-'));
      const printed: string[] = [];
      try {
        const { isWhole, results } = await runCrashpoints(
          { scenarios: ['plain', 's3'], sample: { count: 1, seed: SEED }, resume: false },
          {
            out: { write: (text) => printed.push(text) },
            resultsFile: path.join(folder, 'results.jsonl'),
            signal: t.signal,
          },
        );
        assert.ok(isWhole, printed.join(''));
        for (const area of [
          'temporal ',
          'mlflow ',
          'worker store ',
          'supervisor store ',
          'worker attempt ',
          'supervisor attempt ',
          'worker s3 ',
          'supervisor s3 ',
        ])
          for (const moment of [' before', ' unanswered', ' answered'])
            assert.ok(
              results.some(({ point, killed }) => killed && point.startsWith(area) && point.endsWith(moment)),
              `nothing was killed${moment} at "${area}"`,
            );
        t.diagnostic(`seed ${SEED}: ${results.length} points, ${results.length} killed`);
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    });
  },
);
