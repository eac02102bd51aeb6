// `npm run check`: formatting, lint, types, who may import whom, dead code. All run, even when one fails.
import { bootstrap, root, runInherited, runScript, say, secondsSince } from './bootstrap.mjs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const bin = (file) => path.join('node_modules', file);

const STEPS = [
  { name: 'prettier', args: [bin('prettier/bin/prettier.cjs'), '--check', '--log-level', 'warn', '.'] },
  { name: 'types of sources', args: [bin('typescript/bin/tsc'), '-b', 'tsconfig.build.json'] },
  { name: 'types of tests', args: [bin('typescript/bin/tsc'), '-p', 'tsconfig.json', '--noEmit'] },
  { name: 'eslint', args: [bin('eslint/bin/eslint.js'), '--max-warnings', '0', '.'] },
  {
    name: 'imports',
    args: [
      bin('dependency-cruiser/bin/dependency-cruise.mjs'),
      '--config',
      '.dependency-cruiser.cjs',
      'src',
      'packages',
    ],
  },
  { name: 'dead code', args: [bin('knip/bin/knip.js'), '--no-progress'] },
];

/** Runs every check; resolves to the names of those that failed. */
export async function runChecks() {
  const results = [];
  for (const { name, args } of STEPS) {
    const startedAt = performance.now();
    const code = await runInherited(process.execPath, args);
    results.push({ name, code, time: secondsSince(startedAt) });
    say(`${code === 0 ? '✔' : '✖'} ${name} (${results.at(-1).time})`);
  }
  const failed = results.filter(({ code }) => code !== 0).map(({ name }) => name);
  say(failed.length === 0 ? `Checks: all ${results.length} pass` : `Checks: ${failed.join(', ')} failed`);
  return failed;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? root).href) {
  await runScript(async () => {
    await bootstrap({ build: 'try' });
    return (await runChecks()).length === 0 ? 0 : 1;
  });
}
