// `npm test`: sets everything up, runs the checks, then all tests. `npm test -- unit|system|cluster|check|<file or folder>` runs less.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { bootstrap, root, runInherited, runScript, say, secondsSince, SetupFailure } from './bootstrap.mjs';
import { runChecks } from './check.mjs';
import { planClusterTests } from './cluster-suite.mjs';
import { ensureTestEnvironments } from './test-environments.mjs';

const SUITES = {
  // A unit test that takes minutes hangs; a test against real servers may train a model.
  unit: { concurrency: 2, timeoutMs: 5 * 60_000 },
  system: { concurrency: 2, timeoutMs: 10 * 60_000 },
  // One cluster, parts of which are stopped by some tests. Beside the others: it waits more than it computes.
  cluster: { concurrency: 1, timeoutMs: 30 * 60_000 },
};

const NONE = { passed: 0, failed: 0, skipped: 0 };

await runScript(async () => {
  const startedAt = performance.now();
  const selection = select(process.argv.slice(2));
  await bootstrap({ build: 'try' });
  const tests = selection.unit.length + selection.system.length + selection.cluster.length;
  // Begun first: what has to be built for it, once, is built beside the other tests.
  const cluster =
    selection.cluster.length > 0 ? await planClusterTests({ required: process.argv.length > 2 }) : undefined;
  const env = tests > 0 ? await ensureTestEnvironments() : process.env;
  const failedChecks = selection.check ? await runChecks() : [];
  const run = async (name, more = {}) => {
    if (selection[name].length === 0) return { code: 0, counts: NONE };
    say(`\nTests: ${name}, ${selection[name].length} files`);
    return await runSuite({ files: selection[name], ...SUITES[name] }, { ...env, ...more });
  };
  const onCluster = cluster && runOnCluster(cluster, async (more) => await run('cluster', more));
  const results = [await run('unit'), await run('system'), ...(onCluster ? [await onCluster] : [])];
  const total = { ...NONE };
  for (const { counts } of results) for (const key of Object.keys(total)) total[key] += counts[key];
  const broken = failedChecks.length > 0 || results.some(({ code }) => code !== 0);
  if (selection.check)
    say(failedChecks.length > 0 ? `\nFailed checks: ${failedChecks.join(', ')}` : '\nAll checks pass');
  say(`Time: ${secondsSince(startedAt)}`);
  if (tests === 0 && selection.onlyCheck) return broken ? 1 : 0;
  console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
  return broken || total.failed > 0 || total.passed + total.failed + total.skipped === 0 ? 1 : 0;
});

/** What the arguments ask for; without any, everything. */
function select(args) {
  const all = findTests();
  const known = [...Object.keys(SUITES), 'check'];
  const files = args.filter((arg) => !known.includes(arg)).flatMap((arg) => testsUnder(arg, all));
  const chosen = (name) =>
    (args.length === 0 || args.includes(name) ? all : files).filter((file) => suiteOf(file) === name);
  return {
    unit: chosen('unit'),
    system: chosen('system'),
    cluster: chosen('cluster'),
    check: args.length === 0 || args.includes('check'),
    onlyCheck: args.length > 0 && args.every((arg) => arg === 'check'),
  };
}

function findTests() {
  const packages = readdirSync(path.join(root, 'packages')).map((name) => `packages/${name}/test`);
  return ['test', 'examples', ...packages]
    .filter((folder) => existsSync(path.join(root, folder)))
    .flatMap((folder) =>
      readdirSync(path.join(root, folder), { recursive: true }).map((name) => path.join(folder, name)),
    )
    .filter((file) => file.endsWith('.test.ts') && !file.includes('node_modules'))
    .sort();
}

function testsUnder(argument, all) {
  const wanted = path.relative(root, path.resolve(argument));
  const found = all.filter((file) => file === wanted || file.startsWith(`${wanted}${path.sep}`));
  if (found.length > 0) return found;
  throw new SetupFailure(
    `There are no tests at ${argument}. Name unit, system, cluster, check, or a file or folder with *.test.ts in it.`,
  );
}

function suiteOf(file) {
  return ['system', 'cluster'].find((name) => file.startsWith(path.join('test', name) + path.sep)) ?? 'unit';
}

/** A cluster that cannot be built fails its own tests only. */
async function runOnCluster(cluster, run) {
  try {
    return await cluster.withEnvironment(run);
  } catch (error) {
    if (!(error instanceof SetupFailure)) throw error;
    say(`✖ ${error.message}`);
    return { code: 1, counts: { passed: 0, failed: 1, skipped: 0 } };
  }
}

async function runSuite({ files, concurrency, timeoutMs }, env) {
  const folder = mkdtempSync(path.join(tmpdir(), 'anneal-test-'));
  const summary = path.join(folder, 'summary.json');
  const reporter = [
    '--test-reporter',
    './scripts/test-reporter.mjs',
    '--test-reporter-destination',
    'stdout',
  ];
  const limits = [`--test-concurrency=${concurrency}`, `--test-timeout=${timeoutMs}`];
  try {
    const args = ['--import', 'tsx', '--test', ...limits, ...reporter, ...files];
    const code = await runInherited(process.execPath, args, { ...env, ANNEAL_TEST_SUMMARY: summary });
    if (existsSync(summary)) return { code, counts: JSON.parse(readFileSync(summary, 'utf8')) };
    say('The test runner ended without a summary.');
    return { code: 1, counts: { passed: 0, failed: 1, skipped: 0 } };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
