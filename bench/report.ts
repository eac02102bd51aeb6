import { cpus, loadavg, release, totalmem, type } from 'node:os';
import type { Sample } from './sample.js';

/** One figure beside what it should be. */
export interface Figure {
  readonly what: string;
  readonly unit: string;
  /** At most this. */
  readonly target?: number;
  readonly aim?: number;
  readonly min: number;
  readonly median: number;
}

/** A finished benchmark. */
export interface Report {
  readonly date: string;
  readonly machine: string;
  readonly versions: string;
  /** Load averages of one minute at the start and at the end. */
  readonly load: readonly [number, number];
  readonly figures: readonly Figure[];
}

/** One-minute load of this machine. */
export function readLoad(): number {
  return loadavg()[0] ?? NaN;
}

/** This machine in words. */
export function describeMachine(): string {
  const gigabytes = Math.round(totalmem() / 2 ** 30);
  return `${type()} ${release()}, ${cpus().length} x ${cpus()[0]?.model.trim() ?? 'unknown'}, ${gigabytes} GiB`;
}

/** A figure that was counted, not timed. */
export function counted(
  what: string,
  value: number,
  rest: { readonly unit: string; readonly target?: number },
): Figure {
  return { what, min: value, median: value, ...rest };
}

/** A time by itself. */
export function timed(
  what: string,
  sample: Sample,
  rest: { readonly unit: string; readonly target?: number },
): Figure {
  return { what, min: sample.min, median: sample.median, ...rest };
}

/** A time against another: of the minima, and the middle of the ratios round by round. */
export function against(
  what: string,
  { of, to }: { readonly of: Sample; readonly to: Sample },
  rest: { readonly target: number; readonly aim?: number },
): Figure {
  const ratios = of.values.map((value, i) => value / (to.values[i] ?? NaN)).sort((a, b) => a - b);
  return {
    what,
    unit: 'x',
    min: of.min / to.min,
    median: ratios[Math.floor(ratios.length / 2)] ?? NaN,
    ...rest,
  };
}

/** Whether the target holds, by the minimum. */
export function holds({ target, min }: Figure): boolean | undefined {
  return target === undefined ? undefined : min <= target;
}

/** The report as a Markdown table. */
export function renderReport({ date, machine, versions, load, figures }: Report): string {
  const rows = figures.map((figure) => {
    const verdict = holds(figure);
    const target =
      figure.target === undefined
        ? ''
        : `<= ${figure.target}${figure.aim === undefined ? '' : ` (aim ${figure.aim})`}`;
    const said = verdict === undefined ? '' : verdict ? 'holds' : 'MISSED';
    return `| ${figure.what} | ${figure.unit} | ${shown(figure.min)} | ${shown(figure.median)} | ${target} | ${said} |`;
  });
  return [
    `${date} · ${machine}`,
    `${versions} · load ${load[0].toFixed(1)} at the start, ${load[1].toFixed(1)} at the end`,
    '',
    '| figure | unit | minimum | median | target | |',
    '|---|---|---|---|---|---|',
    ...rows,
  ].join('\n');
}

function shown(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toFixed(value < 10 ? 2 : 1);
}
