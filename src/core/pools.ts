import { didYouMean } from './nearest-name.js';
import { formatBytes, parseBytes } from './quantity.js';
import type { Resources } from './step.js';

/** A resource class: one task queue and how to place what runs there. */
export interface Pool {
  readonly name: string;
  readonly executor: 'process' | 'kubernetes' | 'noop';
  /** Task queue of its workers; for process pools it names the host, those of Kubernetes are any worker's. */
  readonly taskQueue: string;
  /** Task queue where its attempts are ended; never full. */
  readonly controlQueue: string;
  /** Largest that one attempt may ask. Absent: not limited by the pool. */
  readonly cpu?: number;
  readonly memory?: string;
  /** GPUs that one attempt may ask; 0: none. */
  readonly gpu: number;
  readonly gpuType?: string;
  /** A laptop's pool may run steps that ask for GPUs it does not have (once said). */
  readonly gpuOptional: boolean;
  /** What an hour of an attempt costs. */
  readonly pricePerHour?: number;
  /** The host whose runs cannot use the pool: none of its workers serves it. Absent: it is served. */
  readonly unservedOn?: string;
}

/** A pool for a step, or why there is none. */
export type PoolChoice =
  { readonly ok: true; readonly pool: Pool } | { readonly ok: false; readonly message: string };

/**
 * The pool for a step's resources: the one the step names, else the first of those that fit, in the order of anneal.yaml;
 * a step without GPUs prefers a pool without.
 */
export function choosePool(
  step: string,
  asked: { readonly resources: Resources; readonly pool?: string },
  pools: readonly Pool[],
): PoolChoice {
  if (pools.length === 0)
    return {
      ok: false,
      message: `Step "${step}" cannot run: the project has no pool. Add one under pools: in anneal.yaml.`,
    };
  if (asked.pool !== undefined) {
    const named = pools.find((pool) => pool.name === asked.pool);
    if (!named)
      return {
        ok: false,
        message: `Step "${step}" names pool "${asked.pool}"; the project has ${pools.map((pool) => `"${pool.name}"`).join(', ')}.${didYouMean(
          asked.pool,
          pools.map((pool) => pool.name),
        )} Correct the step's pool, or add one to anneal.yaml.`,
      };
    const lacks = lacking(named, asked.resources);
    return lacks.length === 0
      ? { ok: true, pool: named }
      : { ok: false, message: refusal(step, named, lacks) };
  }
  const ranked = pools
    .map((pool) => ({ pool, lacks: lacking(pool, asked.resources) }))
    .sort((a, b) => a.lacks.length - b.lacks.length || Number(isServed(a.pool)) - Number(isServed(b.pool)));
  const fitting = ranked.filter(({ lacks }) => lacks.length === 0).map(({ pool }) => pool);
  const wantsGpu = gpuCount(asked.resources) > 0;
  const best = fitting.find((pool) => pool.gpu > 0 === wantsGpu) ?? fitting[0];
  if (best) return { ok: true, pool: best };
  const nearest = ranked[0];
  return {
    ok: false,
    message: nearest ? refusal(step, nearest.pool, nearest.lacks) : `Step "${step}" cannot run: no pool.`,
  };
}

/** GPUs that a step asks for. */
export function gpuCount(resources: Resources): number {
  return typeof resources.gpu === 'number' ? resources.gpu : (resources.gpu?.count ?? 0);
}

function lacking(pool: Pool, { cpu, memory, gpu }: Resources): string[] {
  const lacks = pool.unservedOn === undefined ? [] : [`no worker of ${pool.unservedOn} serves it`];
  if (cpu !== undefined && pool.cpu !== undefined && cpu > pool.cpu)
    lacks.push(`${cpu} cores asked, ${pool.cpu} offered`);
  if (memory !== undefined && pool.memory !== undefined && parseBytes(memory) > parseBytes(pool.memory))
    lacks.push(
      `${formatBytes(parseBytes(memory))} of memory asked, ${formatBytes(parseBytes(pool.memory))} offered`,
    );
  const count = gpuCount({ ...(gpu === undefined ? {} : { gpu }) });
  if (count > pool.gpu && !pool.gpuOptional) lacks.push(`${count} GPUs asked, ${pool.gpu} offered`);
  if (typeof gpu === 'object' && pool.gpuType !== gpu.type && !pool.gpuOptional)
    lacks.push(`GPU type ${gpu.type} asked, ${pool.gpuType ?? 'none'} offered`);
  return lacks;
}

function isServed(pool: Pool): boolean {
  return pool.unservedOn === undefined;
}

function refusal(step: string, pool: Pool, lacks: readonly string[]): string {
  const mend =
    pool.unservedOn !== undefined && lacks.length === 1
      ? `Start one there with "anneal worker --pools ${pool.name}", then start the run again.`
      : 'Ask for less, or raise the pool in anneal.yaml.';
  return `Step "${step}" fits no pool; the nearest is "${pool.name}" (${lacks.join('; ')}). ${mend}`;
}
