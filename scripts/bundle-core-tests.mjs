// For `npm run test:mutation`: each test file of src/core as one script that can be evaluated again for each mutant. `node:test` is
// replaced by what collects tests, see mutation-runner.mjs.
import { readdirSync } from 'node:fs';
import { build } from 'esbuild';

const FOLDER = 'test/core';
await build({
  entryPoints: readdirSync(FOLDER)
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => `${FOLDER}/${name}`),
  bundle: true,
  platform: 'node',
  format: 'cjs',
  // One copy, whose seed the runner sets.
  external: ['fast-check'],
  alias: { 'node:test': './scripts/collect-tests.mjs' },
  outdir: 'core-tests',
  logLevel: 'warning',
});
