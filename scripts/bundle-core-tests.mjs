// For `npm run test:mutation`: each test file of src/core as one script that can be evaluated again for each mutant. `node:test` is
// replaced by what collects tests, see mutation-runner.mjs.
import { readdirSync } from 'node:fs';
import { build } from 'esbuild';

/** Tests of src/core that stand beside what uses it; they need no server, process or file. */
const BESIDE = [
  'activities/lineage',
  'activities/step-cache',
  'backfill/made-partition',
  'backfill/partitions',
  'cli/backfill-options',
  'client/compare-decisions',
  'kubernetes/diagnose',
  'kubernetes/diagnose-own-programs',
  'kubernetes/stored-metrics',
  'notify/sweep',
  'schedules/accounting',
  'tracking/close-run',
  'triggers/triggers',
  'triggers/two-workers',
];

const inCore = readdirSync('test/core').filter((name) => name.endsWith('.test.ts'));
await build({
  entryPoints: [
    ...inCore.map((name) => `test/core/${name}`),
    ...BESIDE.map((name) => `test/${name}.test.ts`),
  ],
  bundle: true,
  platform: 'node',
  format: 'cjs',
  // One copy, whose seed the runner sets.
  external: ['fast-check'],
  alias: { 'node:test': './scripts/collect-tests.mjs' },
  outbase: 'test',
  outdir: 'core-tests',
  logLevel: 'warning',
});
