import type { RunSnapshot } from '../core/activities.js';
import { formatDuration } from '../core/duration.js';
import type { CallStatus, RunStatus } from '../core/run.js';

/** Rows of the table; Temporal cuts details at 20,000 bytes. */
const ROWS = 40;

const MARKS: { readonly [state in CallStatus['state']]: string } = {
  running: '▶',
  retrying: '↻',
  waiting: '⏸',
  succeeded: '✔',
  cached: '⚡',
  failed: '✘',
  cancelled: '◼',
};

/** Rows that were written before: a call's status is replaced, never changed. */
export type RowCache = WeakMap<CallStatus, string>;

/** A run as Markdown for Temporal's Web UI: one row per call, newest {@link ROWS}, links and what failed. */
export function renderDetails(
  status: RunStatus,
  { snapshot, rows }: { readonly snapshot: RunSnapshot | undefined; readonly rows: RowCache },
): string {
  const lines = [`**${status.pipeline}** · ${status.state}${countsText(status)}`];
  if (status.tracking && snapshot?.trackingUiUrl !== undefined)
    lines.push(
      '',
      `[MLflow run](${snapshot.trackingUiUrl}/#/experiments/${status.tracking.experimentId}/runs/${status.tracking.runId})`,
    );
  lines.push('', '| | step | attempt | time | |', '|---|---|---|---|---|');
  for (const call of status.calls.slice(-ROWS)) lines.push(rowOf(call, rows));
  if (status.calls.length > ROWS) lines.push('', `(the newest ${ROWS} calls are shown)`);
  for (const approval of status.approvals)
    lines.push(
      '',
      `Waiting for approval **${approval.gate}**, digest \`${approval.digest}\`. Send update or signal \`decide\` with \`{"gate":"${approval.gate}","digest":"${approval.digest}","decision":"approve","by":"you"}\`.`,
    );
  if (status.failure) lines.push('', `**${status.failure.code}** ${cell(status.failure.message)}`);
  return lines.join('\n');
}

function rowOf(call: CallStatus, rows: RowCache): string {
  const text = rows.get(call) ?? row(call);
  rows.set(call, text);
  return text;
}

function row(call: CallStatus): string {
  const time =
    call.endedAtMs === undefined
      ? 'since ' + new Date(call.startedAtMs).toISOString().slice(11, 19)
      : formatDuration(call.endedAtMs - call.startedAtMs);
  const text = call.failure ? `${call.failure.code}: ${call.failure.message}` : (call.detail ?? '');
  return `| ${MARKS[call.state]} | ${cell(call.name)} | ${call.attempt} | ${time} | ${cell(text)} |`;
}

function countsText(status: RunStatus): string {
  const parts = Object.entries(status.counts)
    .filter(([, count]) => count > 0)
    .map(([state, count]) => `${count} ${state}`);
  return parts.length === 0 ? '' : ` (${parts.join(', ')})`;
}

function cell(text: string): string {
  return text.replace(/[|\n\r]+/g, ' ').slice(0, 200);
}
