import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';

import type { CrashPoint } from './crash-point.js';
import { enumeratePoints, formatPoint, kindOf, samplePoints } from './crash-point.js';
import { runOnce } from './crash-run.js';
import type { CrashWorld, Scenario } from './crash-world.js';
import { startCrashWorld } from './crash-world.js';
import type { Violation } from './invariants.js';
import { checkInvariants, INVARIANTS } from './invariants.js';
import { renameExperiment } from './mlflow-reader.js';
import type { CrashOptions } from './options.js';
import { CRASH_PIPELINE } from './crash-project.js';
import type { Output } from './progress-bar.js';
import { createProgressBar } from './progress-bar.js';

/** What became of one point. */
export interface PointResult {
  readonly scenario: Scenario;
  readonly point: string;
  readonly kind: string;
  readonly killed: boolean;
  readonly violations: readonly Violation[];
  readonly ms: number;
}

/** What is needed beside the options. */
export interface CrashDeps {
  readonly out: Output;
  /** Where results are kept for `--resume`. */
  readonly resultsFile: string;
  /** Aborted: ends after the point that runs; `--resume` goes on. */
  readonly signal: AbortSignal;
}

/** Runs the points that are asked for and prints what was found. @returns whether all were reached and nothing was broken. */
export async function runCrashpoints(
  options: CrashOptions,
  deps: CrashDeps,
): Promise<{ readonly isWhole: boolean; readonly results: readonly PointResult[] }> {
  const { out, resultsFile, signal } = deps;
  mkdirSync(path.dirname(resultsFile), { recursive: true });
  if (!options.resume && options.only === undefined) rmSync(resultsFile, { force: true });
  const results: PointResult[] = [];
  for (const scenario of options.scenarios) {
    if (signal.aborted) break;
    const world = await startCrashWorld(scenario);
    try {
      results.push(...(await runWorld(world, options, deps)));
    } finally {
      await world.close();
    }
  }
  report(results, out);
  const isWhole =
    !signal.aborted &&
    results.length > 0 &&
    results.every(({ killed, violations }) => killed && violations.length === 0);
  return { isWhole, results };
}

async function runWorld(
  world: CrashWorld,
  options: CrashOptions,
  { out, resultsFile, signal }: CrashDeps,
): Promise<PointResult[]> {
  const all = await recordPoints(world);
  const points = choose(all, options);
  const chosen = points.length === all.length ? '' : `, ${points.length} of them now`;
  const seed = options.sample === undefined ? '' : ` (seed ${options.sample.seed})`;
  out.write(`Scenario ${world.scenario}: ${all.length} points${chosen}${seed}\n`);
  const done = options.resume ? readResults(resultsFile) : [];
  const bar = createProgressBar(points.length, out);
  const results: PointResult[] = [];
  for (const [index, point] of points.entries()) {
    if (signal.aborted) break;
    const name = formatPoint(point);
    bar.show(index, { violations: results.filter(isBroken).length, now: name });
    const known = done.find((one) => one.scenario === world.scenario && one.point === name && !isBroken(one));
    const result = known ?? (await runPoint(world, point, index));
    results.push(result);
    if (known) continue;
    appendFileSync(resultsFile, `${JSON.stringify(result)}\n`);
    if (isBroken(result)) {
      bar.end();
      printBroken(result, out);
    }
  }
  bar.show(results.length, { violations: results.filter(isBroken).length, now: '' });
  bar.end();
  return results;
}

const NEW_EFFECTS: { readonly [scenario in Scenario]: RegExp } = {
  plain: /./,
  rough: /outcome\.json|closed\.json|\/000002\/|features-a2$|\/checkpoints\//,
  s3: / s3 /,
};

/** Of the other scenarios only what the plain one does not have. */
async function recordPoints(world: CrashWorld): Promise<CrashPoint[]> {
  // The first run makes what later ones find, such as folders.
  for (const runId of ['rec-first', 'rec-again']) {
    await renameExperiment(world.trackingUri, CRASH_PIPELINE, runId);
    const run = await runOnce(world, runId, undefined);
    const violations = await checkInvariants(world, run);
    if (violations.length > 0)
      throw new Error(`A run that nothing happens to is broken: ${JSON.stringify(violations)}`);
  }
  const points = enumeratePoints(world.tripwire.seen());
  return points.filter(({ effect }) => NEW_EFFECTS[world.scenario].test(effect.name));
}

function choose(all: readonly CrashPoint[], { only, sample }: CrashOptions): CrashPoint[] {
  if (only !== undefined) return all.filter((point) => formatPoint(point) === only);
  return sample === undefined ? [...all] : samplePoints(all, sample.count, sample.seed);
}

const TRIES = 3;

/** Runs are not the same to the last workflow task: a point that was not reached is tried again. */
async function runPoint(world: CrashWorld, point: CrashPoint, index: number): Promise<PointResult> {
  for (let tries = 1; ; tries += 1) {
    const runId = `run-${String(index).padStart(4, '0')}-${tries}`;
    if (point.effect.name.includes('experiments/create'))
      await renameExperiment(world.trackingUri, CRASH_PIPELINE, runId);
    const run = await runOnce(world, runId, point);
    const violations = await checkInvariants(world, run);
    if (!run.fired && violations.length === 0 && tries < TRIES) continue;
    if (violations.length > 0) await world.clear(runId);
    return {
      scenario: world.scenario,
      point: formatPoint(point),
      kind: kindOf(point),
      killed: run.fired,
      violations,
      ms: Math.round(run.ms),
    };
  }
}

function isBroken({ killed, violations }: PointResult): boolean {
  return !killed || violations.length > 0;
}

function readResults(file: string): PointResult[] {
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as PointResult);
}

function printBroken({ scenario, point, killed, violations }: PointResult, out: Output): void {
  out.write(`BROKEN  ${scenario}  ${point}\n`);
  if (!killed) out.write(`  was not reached in ${TRIES} runs\n`);
  for (const { invariant, evidence } of violations) out.write(`  ${invariant}: ${evidence}\n`);
  out.write(`  Again: npm run test:crashpoints -- --scenario ${scenario} --only "${point}"\n`);
}

function report(results: readonly PointResult[], out: Output): void {
  const kinds = new Map<string, number>();
  for (const { kind } of results) kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  out.write('\n');
  for (const [kind, count] of kinds) out.write(`${String(count).padStart(5)}  ${kind}\n`);
  const seconds = results.reduce((sum, { ms }) => sum + ms, 0) / 1_000;
  const killed = results.filter((one) => one.killed).length;
  out.write(`\nAfter each point was checked:\n${INVARIANTS.map(({ name }) => `  ${name}\n`).join('')}`);
  const percent = results.length === 0 ? 0 : (killed / results.length) * 100;
  const broken = results.flatMap(({ violations }) => violations).length;
  out.write(
    `\n${results.length} points, ${killed} killed (${percent.toFixed(1)} %), ${results.length * INVARIANTS.length} checks, ${broken} violations, ${(seconds / Math.max(1, results.length)).toFixed(1)} s a point\n`,
  );
}
