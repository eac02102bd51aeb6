import { formatCost } from '../core/cost.js';
import { formatDuration } from '../core/duration.js';
import { CALL_MARKS, type CallState, type CallStatus, type RunState, type RunStatus } from '../core/run.js';
import { shellWord } from '../client/run-id.js';
import type { Colors } from './terminal.js';

/** How a run is drawn. */
export interface RunTextOptions {
  readonly nowMs: number;
  readonly columns: number;
  readonly colors: Colors;
  /** Lines for calls at most; older ones that have ended are counted instead. */
  readonly maxCalls?: number;
}

/** Log lines shown below a call that failed. */
const LOG_LINES = 8;

/** The steps of a run as a tree: state, name, pool, duration, attempt, metric values, and below a failed one why. */
export function renderRunTree(status: RunStatus, options: RunTextOptions): string[] {
  const { colors, nowMs, columns } = options;
  const ended = status.endedAtMs ?? nowMs;
  const head = `${colors.bold(status.pipeline)} ${status.runId}  ${paintState(status.state, colors)}  ${formatDuration(ended - status.startedAtMs)}`;
  const width = Math.max(8, ...status.calls.map((call) => call.name.length));
  const { shown, hidden } = chooseCalls(status.calls, options.maxCalls ?? Infinity);
  const lines = [head];
  if (hidden > 0) lines.push(colors.dim(`  … ${hidden} earlier`));
  for (const call of shown) {
    lines.push(clip(renderCall(call, { nowMs, colors, nameWidth: width }), columns));
    lines.push(...renderFailure(call, colors));
  }
  for (const { gate, digest, quorum, decided } of status.approvals) {
    const sofar = quorum === 1 ? '' : `, ${decided.length} of ${quorum} decided`;
    lines.push(
      `  ${colors.yellow(`Waiting for a decision on "${gate}"`)} (digest ${digest.slice(0, 12)}${sofar}): anneal approve ${shellWord(status.runId)} ${shellWord(gate)}`,
    );
  }
  for (const { by, gate, reason } of status.refusedDecisions ?? [])
    lines.push(
      `  ${colors.yellow(`Refused decision of ${visible(by)} on "${visible(gate)}"`)}: ${visible(reason)}`,
    );
  return lines;
}

/** One line of a call. */
export function renderCall(
  call: CallStatus,
  {
    nowMs,
    colors,
    nameWidth,
  }: { readonly nowMs: number; readonly colors: Colors; readonly nameWidth: number },
): string {
  const took = formatDuration(Math.max(0, (call.endedAtMs ?? nowMs) - call.startedAtMs));
  const facts = [
    call.name.padEnd(nameWidth),
    took.padStart(8),
    (call.pool ?? '').padEnd(6),
    call.state === 'cached' ? 'cached' : '',
    call.state === 'retrying' || call.attempt > 1 ? `attempt ${call.attempt}` : '',
    call.failure === undefined || call.state === 'retrying' ? (call.detail ?? '') : '',
    call.cost === undefined ? '' : `cost ${formatCost(call.cost)}`,
  ];
  const text = facts
    .filter((fact) => fact !== '')
    .join('  ')
    .trimEnd();
  return `  ${paintCall(call.state, colors)(CALL_MARKS[call.state])} ${text}`;
}

/** How long the last attempt of a call was in each phase; nothing where that is not known. */
export function renderPhases({ phases = {} }: CallStatus): string[] {
  const parts = Object.entries(phases).map(
    ([name, ms]: [string, number]) => `${name.replace(/Ms$/, '')} ${formatDuration(ms)}`,
  );
  return parts.length === 0 ? [] : [`      ${parts.join(', ')}`];
}

/** Why a call failed, and the last lines of its log. */
export function renderFailure(call: CallStatus, colors: Colors): string[] {
  const { failure } = call;
  if (!failure || call.state === 'succeeded' || call.state === 'cached') return [];
  const log = (failure.logTail ?? []).slice(-LOG_LINES).map((line) => colors.dim(`      │ ${visible(line)}`));
  return [`      ${colors.red(failure.code)}: ${visible(failure.message)}`, ...log];
}

/** A run's state in its colour. */
export function paintState(state: RunState, colors: Colors): string {
  switch (state) {
    case 'completed':
      return colors.green(state);
    case 'failed':
    case 'terminated':
    case 'timed-out':
      return colors.red(state);
    case 'queued':
    case 'running':
      return colors.cyan(state);
    case 'paused':
    case 'waiting-for-approval':
    case 'not-promoted':
    case 'cancelled':
      return colors.yellow(state);
  }
}

/** Text of a step, without what would move the cursor or change colours. */
export function visible(text: string): string {
  return text.replace(OPERATING_SYSTEM_COMMAND, '').replace(ESCAPE_SEQUENCE, '').replace(CONTROL, '');
}

// eslint-disable-next-line no-control-regex -- what is removed from the output of steps
const OPERATING_SYSTEM_COMMAND = /\u001b\][^\u0007\u001b]*(?:\u0007|\u001b\\)?/g;
// eslint-disable-next-line no-control-regex -- the same
const ESCAPE_SEQUENCE = /\u001b\[[0-9;?]*[ -/]*[@-~]|\u001b[@-_]/g;
// eslint-disable-next-line no-control-regex -- the same
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f]/g;

function paintCall(state: CallState, colors: Colors): (text: string) => string {
  if (state === 'succeeded' || state === 'cached') return colors.green;
  if (state === 'failed') return colors.red;
  return state === 'running' ? colors.cyan : colors.yellow;
}

function chooseCalls(
  calls: readonly CallStatus[],
  max: number,
): { readonly shown: readonly CallStatus[]; readonly hidden: number } {
  let hidden = 0;
  const excess = Math.max(0, calls.length - max);
  const shown = calls.filter((call) => {
    const hide = hidden < excess && call.endedAtMs !== undefined && call.state !== 'failed';
    if (hide) hidden += 1;
    return !hide;
  });
  return { shown, hidden };
}

/** Cuts a line to the terminal's width; colours are only at its beginning, so counting their characters does no harm. */
function clip(line: string, columns: number): string {
  const limit = columns + (line.length - visible(line).length) - 1;
  return line.length <= limit ? line : `${line.slice(0, Math.max(0, limit - 1))}…`;
}
