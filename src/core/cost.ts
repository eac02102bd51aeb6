/** Memo of a run: its {@link RunCost}, when its state changed last. */
export const COST_MEMO = 'anneal.cost';

/** What the attempts of a run that have ended cost. */
export interface RunCost {
  readonly total: number;
  readonly pools: { readonly [pool: string]: number };
}

/** Currency of the pools' prices for the hours of an attempt; `undefined`: its pool has no price. */
export function costOfAttempt(
  { pricePerHour }: { readonly pricePerHour?: number },
  { startedAtMs, endedAtMs }: { readonly startedAtMs: number; readonly endedAtMs: number },
): number | undefined {
  if (pricePerHour === undefined) return undefined;
  return (pricePerHour * Math.max(0, endedAtMs - startedAtMs)) / 3_600_000;
}

/** Sums up, without the noise of binary fractions. */
export function addCost(cost: number | undefined, more: number): number {
  return Math.round(((cost ?? 0) + more) * 1e6) / 1e6;
}

/** A cost for people: two digits behind the point, more where it is small. */
export function formatCost(cost: number): string {
  return cost === 0 || cost >= 0.01 ? cost.toFixed(2) : String(Number(cost.toPrecision(1)));
}
