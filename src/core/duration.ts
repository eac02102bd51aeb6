const UNIT_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/**
 * Milliseconds of a duration as people write it: `'500ms'`, `'30s'`, `'5m'`, `'12h'`, `'3d'`.
 * @throws TypeError naming the text and the allowed form.
 */
export function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text);
  const unit = match?.[2] as keyof typeof UNIT_MS | undefined;
  if (!match || !unit)
    throw new TypeError(`"${text}" is not a duration; write a number and ms, s, m, h or d, such as "30s"`);
  return Math.round(Number(match[1]) * UNIT_MS[unit]);
}

/** A duration for people: `340ms`, `4.2s`, `3m 05s`, `2h 10m`, `3d 4h`. */
export function formatDuration(ms: number): string {
  // The bounds are those from which the rounded figure would belong to the next unit.
  if (ms < 999.5) return `${Math.round(ms)}ms`;
  if (ms < 59_950) return `${(ms / 1_000).toFixed(1)}s`;
  const two = (n: number) => String(Math.floor(n)).padStart(2, '0');
  if (ms < UNIT_MS.m) return '1m 00s';
  if (ms < UNIT_MS.h) return `${Math.floor(ms / UNIT_MS.m)}m ${two((ms % UNIT_MS.m) / 1_000)}s`;
  if (ms < UNIT_MS.d) return `${Math.floor(ms / UNIT_MS.h)}h ${two((ms % UNIT_MS.h) / UNIT_MS.m)}m`;
  return `${Math.floor(ms / UNIT_MS.d)}d ${Math.floor((ms % UNIT_MS.d) / UNIT_MS.h)}h`;
}
