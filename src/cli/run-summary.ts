import { formatDuration } from '../core/duration.js';
import type { RunStatus } from '../core/run.js';
import type { RunLinks } from './run-links.js';
import { paintState, visible } from './run-text.js';
import type { Colors } from './terminal.js';

/** What a run ended with, as `--json` of `run --wait` and `describe` carries it beside the status. */
export interface StepTime {
  readonly name: string;
  readonly state: string;
  readonly seconds: number;
}

/** Seconds of every call, in order. */
export function stepTimes(status: RunStatus): StepTime[] {
  return status.calls
    .filter((call) => call.endedAtMs !== undefined)
    .map((call) => ({
      name: call.name,
      state: call.state,
      seconds: Math.round(((call.endedAtMs ?? call.startedAtMs) - call.startedAtMs) / 10) / 100,
    }));
}

/** What happened, the links, seconds per step. */
export function renderRunSummary(
  status: RunStatus,
  { links, colors }: { readonly links: RunLinks; readonly colors: Colors },
): string[] {
  const took = formatDuration((status.endedAtMs ?? status.startedAtMs) - status.startedAtMs);
  const lines = [
    `${colors.bold(status.runId)}: ${paintState(status.state, colors)} after ${took}${said(status)}`,
  ];
  if (status.failure) lines.push(`  ${colors.red(status.failure.code)}: ${visible(status.failure.message)}`);
  const times = stepTimes(status).map(
    ({ name, state, seconds }) => `${name} ${state === 'cached' ? 'cached' : seconds}`,
  );
  if (times.length > 0) lines.push(`  Seconds per step: ${times.join(' · ')}`);
  lines.push(...renderLinks(links));
  return lines;
}

/** One line per link. */
export function renderLinks(links: RunLinks): string[] {
  return [
    ['Temporal', links.temporal],
    ['MLflow', links.mlflow],
    ['Model', links.model],
  ].flatMap(([name, url]) => (url === undefined ? [] : [`  ${String(name).padEnd(8)} ${url}`]));
}

/** The reason that a pipeline gave, such as `F1 0.805 < 0.85; champion stays v1`. */
function said({ result }: RunStatus): string {
  if (typeof result !== 'object' || result === null || !('reason' in result)) return '';
  return typeof result.reason === 'string' ? `: ${visible(result.reason)}` : '';
}
