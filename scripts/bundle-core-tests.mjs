// For `npm run test:mutation`: the tests of src/core as one script that can be evaluated again for each mutant. `node:test` is replaced
// by what collects them, see mutation-runner.mjs.
import { readdirSync } from 'node:fs';
import { build } from 'esbuild';

const FOLDER = 'test/core';
const files = readdirSync(FOLDER).filter((name) => name.endsWith('.test.ts'));
await build({
  stdin: { contents: files.map((name) => `import './${name}';`).join('\n'), resolveDir: FOLDER },
  bundle: true,
  platform: 'node',
  format: 'cjs',
  // One copy, whose seed the runner sets.
  external: ['fast-check'],
  alias: { 'node:test': './scripts/collect-tests.mjs' },
  outfile: 'core-tests.cjs',
  logLevel: 'warning',
});
