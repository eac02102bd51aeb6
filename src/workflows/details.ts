import type { RunSnapshot } from '../core/activities.js';
import { formatDuration } from '../core/duration.js';
import { CALL_MARKS, type CallStatus, type PendingApproval, type RunStatus } from '../core/run.js';

/** Rows of the table at most. */
const ROWS = 40;
/** Temporal refuses details above 20,000 bytes. */
const BYTES = 19_000;
/** Approvals that are listed, each with what to send. */
const APPROVALS = 10;

/** Rows that were written before: a call's status is replaced, never changed. */
export type RowCache = WeakMap<CallStatus, { readonly text: string; readonly bytes: number }>;

/** A run as Markdown for Temporal's Web UI: one row per call, newest {@link ROWS}, links to MLflow and what failed. */
export function renderDetails(
  status: RunStatus,
  { snapshot, rows }: { readonly snapshot: RunSnapshot | undefined; readonly rows: RowCache },
): string {
  const runs = runLinks(snapshot, status.tracking?.experimentId);
  const head = [`**${status.pipeline}** · ${status.state}${countsText(status)}`];
  const ownRun = runs('MLflow run', status.tracking);
  if (ownRun !== undefined) head.push('', ownRun);
  head.push('', '| | step | attempt | time | |', '|---|---|---|---|---|');
  const tail = tailOf(status);
  let left = BYTES - byteLength([...head, ...tail].join('\n'));
  const shown: string[] = [];
  for (const call of status.calls.slice(-ROWS).reverse()) {
    const { text, bytes } = rowOf(call, { rows, runs });
    left -= bytes + 1;
    if (left < 0) break;
    shown.push(text);
  }
  const more = status.calls.length > shown.length ? ['', `(the newest ${shown.length} calls are shown)`] : [];
  return [...head, ...shown.reverse(), ...more, ...tail].join('\n');
}

/** What follows the table. */
function tailOf({ approvals, refusedDecisions = [], failure }: RunStatus): string[] {
  const lines = approvals.slice(0, APPROVALS).flatMap((approval) => ['', approvalText(approval)]);
  if (approvals.length > APPROVALS) lines.push('', `(${approvals.length - APPROVALS} more approvals wait)`);
  for (const { by, reason } of refusedDecisions)
    lines.push('', `Refused decision of ${cell(by)}: ${cell(reason)}`);
  if (failure) lines.push('', `**${failure.code}** ${cell(failure.message)}`);
  return lines;
}

type TrackedPlace = { readonly runId: string; readonly experimentId?: string } | undefined;
type RunLinks = (text: string, place: TrackedPlace) => string | undefined;

/** Links to runs in MLflow's UI, where its address is known; a run of no named experiment is in the run's own. */
function runLinks(snapshot: RunSnapshot | undefined, ownExperiment: string | undefined): RunLinks {
  return (text, place) => {
    const experimentId = place?.experimentId ?? ownExperiment;
    if (place === undefined || experimentId === undefined || snapshot?.trackingUiUrl === undefined)
      return undefined;
    return `[${linkText(text)}](${snapshot.trackingUiUrl}/#/experiments/${experimentId}/runs/${place.runId})`;
  };
}

function rowOf(
  call: CallStatus,
  { rows, runs }: { readonly rows: RowCache; readonly runs: RunLinks },
): { readonly text: string; readonly bytes: number } {
  const known = rows.get(call);
  if (known) return known;
  const text = row(call, runs);
  const made = { text, bytes: byteLength(text) };
  rows.set(call, made);
  return made;
}

function row(call: CallStatus, runs: RunLinks): string {
  const time =
    call.endedAtMs === undefined
      ? 'since ' + new Date(call.startedAtMs).toISOString().slice(11, 19)
      : formatDuration(call.endedAtMs - call.startedAtMs);
  const { trackingRunId } = call;
  const name =
    runs(call.name, trackingRunId === undefined ? undefined : { runId: trackingRunId }) ?? cell(call.name);
  const text = cell(call.failure ? `${call.failure.code}: ${call.failure.message}` : (call.detail ?? ''));
  const origin = originText(call, runs);
  return `| ${CALL_MARKS[call.state]} | ${name} | ${call.attempt} | ${time} | ${[origin, text].filter((part) => part !== '').join(' · ')} |`;
}

function originText({ state, cachedFrom }: CallStatus, runs: RunLinks): string {
  if (state !== 'cached') return '';
  if (cachedFrom === undefined) return 'cached';
  return `cached from ${runs(cachedFrom.runId, cachedFrom.tracking) ?? cell(cachedFrom.runId)}`;
}

function approvalText(approval: PendingApproval): string {
  const { gate, digest, quorum, decided, approvers, expiresAtMs } = approval;
  const approved = decided.filter(({ decision }) => decision === 'approve').length;
  const who = approvers === undefined ? '' : ` by ${cell(approvers.join(', '))}`;
  const so = quorum === 1 ? '' : `, ${approved} of ${quorum} so far`;
  const signed = approval.allowUnverified
    ? `Send update or signal \`decide\` with \`${JSON.stringify({ gate, digest, decision: 'approve', by: 'you' })}\`.`
    : `Decide with \`anneal approve RUN ${gate}\`: decisions are signed.`;
  const until = expiresAtMs === undefined ? '' : `, until ${dayAndTime(expiresAtMs)}`;
  return `Waiting for approval **${cell(gate)}**${who}${so}${until}, digest \`${digest}\`. ${signed}`;
}

function dayAndTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
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

function linkText(text: string): string {
  return cell(text).replace(/[[\]]/g, '\\$&');
}

/** In UTF-8; the sandbox's types have no encoder. */
function byteLength(text: string): number {
  let bytes = text.length;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x80) continue;
    // Each half of a pair counts two of its four bytes.
    bytes += code < 0x800 || (code >= 0xd800 && code < 0xe000) ? 1 : 2;
  }
  return bytes;
}
