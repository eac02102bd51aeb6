import { shellWord, type WaitingApproval } from '../../client/index.js';
import { formatDuration } from '../../core/duration.js';
import type { Command, CommandContext } from '../command.js';
import { findDecidingPerson } from '../deciding-person.js';
import { renderTable } from '../plain-table.js';
import { EXIT } from '../report-error.js';
import { visible } from '../run-text.js';
import { warnOfWorker } from '../warn-of-worker.js';

/** `anneal approvals`: what waits for people, over all runs of the project. */
export const approvals: Command = async (context, _args, { mine, by, key }) => {
  const project = await context.openProject();
  const client = await project.client();
  const given = { ...(by === undefined ? {} : { by }), ...(key === undefined ? {} : { key }) };
  const person =
    mine === true || by !== undefined
      ? (await findDecidingPerson(context, project.config, given)).by
      : undefined;
  const waiting = await client.approvals(person === undefined ? {} : { by: person });
  await warnOfWorker(project, context.terminal);
  context.terminal.show(waiting, () =>
    waiting.length === 0
      ? `Nothing waits for ${person === undefined ? 'a decision' : `a decision of ${person}`}.`
      : renderApprovals(waiting, context),
  );
  return EXIT.ok;
};

function renderApprovals(waiting: readonly WaitingApproval[], { terminal, nowMs }: CommandContext): string {
  const rows = waiting.map((approval) => {
    const { runId, gate, quorum, decided, approvers, allowUnverified, openedAtMs, expiresAtMs } = approval;
    const approved = decided.filter(({ decision }) => decision === 'approve').length;
    return [
      visible(runId),
      visible(gate),
      `${approved} of ${quorum}`,
      `${approvers?.join(', ') ?? 'anybody'}${allowUnverified ? ' (unverified counts)' : ''}`,
      formatDuration(nowMs() - openedAtMs),
      expiresAtMs === undefined ? 'never' : new Date(expiresAtMs).toISOString(),
    ];
  });
  const table = renderTable(['RUN', 'GATE', 'APPROVALS', 'WHO MAY', 'WAITS', 'EXPIRES'], rows);
  const [first] = waiting;
  const command = first ? `anneal approve ${shellWord(first.runId)} ${shellWord(first.gate)}` : '';
  return `${table}\n\n${terminal.colors.dim('Look, then decide:')} ${command}`;
}
