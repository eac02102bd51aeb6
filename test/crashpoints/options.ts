import type { Scenario } from './crash-world.js';
import { SCENARIOS } from './crash-world.js';

/** What `npm run test:crashpoints` was asked for. */
export interface CrashOptions {
  readonly scenarios: readonly Scenario[];
  /** One point, as it was printed. */
  readonly only?: string;
  /** So many points of each area and moment, drawn by a seed that is printed. */
  readonly sample?: { readonly count: number; readonly seed: number };
  /** Go on where the last run stopped. */
  readonly resume: boolean;
}

const USAGE = `Usage: npm run test:crashpoints -- [--scenario ${SCENARIOS.join('|')}] [--only "POINT"] [--sample COUNT] [--seed NUMBER] [--resume]`;

/** Reads the arguments. @throws Error with the usage. */
export function readOptions(args: readonly string[]): CrashOptions {
  const given = new Map<string, string>();
  const rest = [...args];
  for (let flag = rest.shift(); flag !== undefined; flag = rest.shift()) {
    const value = flag === '--resume' ? 'yes' : rest.shift();
    if (!['--scenario', '--only', '--sample', '--seed', '--resume'].includes(flag) || value === undefined)
      throw new Error(USAGE);
    given.set(flag, value);
  }
  const scenario = given.get('--scenario');
  const scenarios = SCENARIOS.filter((name) => scenario === undefined || name === scenario);
  const only = given.get('--only');
  const count = Number(given.get('--sample') ?? 0);
  const seed = Number(given.get('--seed') ?? Math.floor(Math.random() * 1_000_000));
  if (scenarios.length === 0 || !Number.isInteger(count) || !Number.isInteger(seed)) throw new Error(USAGE);
  return {
    scenarios,
    resume: given.has('--resume'),
    ...(only === undefined ? {} : { only }),
    ...(count === 0 ? {} : { sample: { count, seed } }),
  };
}
