/** When a process dies, seen from one of its effects: not yet made; made, but it never learned so; made, and it knew. */
export const MOMENTS = ['before', 'unanswered', 'answered'] as const;
export type Moment = (typeof MOMENTS)[number];

/** Who dies: the process whose effect it is, or the supervisor and its worker together. */
export type Victims = 'own' | 'both';

/** One effect of a run: its name without what differs from run to run, and the how manieth of that name it is. */
export interface Effect {
  readonly name: string;
  readonly ordinal: number;
}

/** One place to die at. */
export interface CrashPoint {
  readonly effect: Effect;
  readonly moment: Moment;
  readonly victims: Victims;
}

/** All points of the effects that a run was seen to make. */
export function enumeratePoints(effects: readonly string[]): CrashPoint[] {
  const counts = new Map<string, number>();
  return effects.flatMap((name) => {
    const ordinal = (counts.get(name) ?? 0) + 1;
    counts.set(name, ordinal);
    const effect = { name, ordinal };
    const own = MOMENTS.map((moment): CrashPoint => ({ effect, moment, victims: 'own' }));
    return isOfSupervisor(name) ? [...own, { effect, moment: 'unanswered', victims: 'both' }] : own;
  });
}

/** The kind of an effect, for tables: `worker store put`, `mlflow POST runs/create`, `temporal RespondActivityTaskCompleted`. */
export function kindOf({ effect }: CrashPoint): string {
  return (
    /^(worker|supervisor) \S+ \S+|^mlflow \S+ [a-z-]+(\/[a-z-]+)?|^\S+ \S+/.exec(effect.name)?.[0] ??
    effect.name
  );
}

/** A point as people name it, such as `mlflow POST runs/create #2 before`. */
export function formatPoint({ effect, moment, victims }: CrashPoint): string {
  return `${effect.name} #${effect.ordinal} ${moment}${victims === 'both' ? ' both' : ''}`;
}

/** `count` points of each area (such as `mlflow`, `supervisor store`), moment and kind of victim, drawn by a seed. */
export function samplePoints(points: readonly CrashPoint[], count: number, seed: number): CrashPoint[] {
  const groups = new Map<string, number>();
  const picked = new Set<CrashPoint>();
  for (const point of shuffled(points, seed)) {
    const group = `${areaOf(point)} ${point.moment} ${point.victims}`;
    const taken = groups.get(group) ?? 0;
    if (taken < count) picked.add(point);
    groups.set(group, taken + 1);
  }
  return points.filter((point) => picked.has(point));
}

function areaOf({ effect }: CrashPoint): string {
  return /^(worker|supervisor) \S+|^\S+/.exec(effect.name)?.[0] ?? '';
}

function isOfSupervisor(name: string): boolean {
  return name.startsWith('supervisor ');
}

function shuffled<T>(items: readonly T[], seed: number): T[] {
  let state = seed >>> 0;
  // mulberry32: small, and the same everywhere.
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return items
    .map((item) => ({ item, at: next() }))
    .sort((left, right) => left.at - right.at)
    .map(({ item }) => item);
}
