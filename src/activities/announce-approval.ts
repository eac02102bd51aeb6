import type { ApprovalAnnouncement, ChampionInfo, SystemActivities } from '../core/activities.js';
import { formatDuration } from '../core/duration.js';
import { describeSchema } from '../core/schema.js';
import { shellWord } from '../core/shell-word.js';

/** What {@link createAnnounceApproval} is made of. */
export interface AnnounceApprovalDeps {
  readonly notify: SystemActivities['notify'];
  readonly readChampion: SystemActivities['readChampion'];
}

/** The part of {@link SystemActivities} that tells approvers: a message like any other, with what a decision needs. */
export function createAnnounceApproval(
  deps: AnnounceApprovalDeps,
): Pick<SystemActivities, 'announceApproval'> {
  return {
    announceApproval: async (announcement) => {
      const { model } = announcement;
      // A registry that is away must not keep the message back.
      const champion = model
        ? await deps.readChampion({ modelName: model.name, alias: model.alias }).catch(() => undefined)
        : undefined;
      const { id, runId, executionId, to, approval, pipeline, why } = announcement;
      await deps.notify({
        id,
        event: 'approval',
        to,
        pipeline,
        runId,
        executionId,
        subject: `${SUBJECTS[why]}${pipeline} waits for approval "${approval.gate}"`,
        text: approvalText(announcement, champion),
      });
    },
  };
}

const SUBJECTS = { opened: '', reminder: 'Reminder: ', escalated: 'Escalated: ' } as const;

/** What an approver reads. `champion`: null where the alias is not set, undefined where it was not asked or did not answer. */
function approvalText(announcement: ApprovalAnnouncement, champion: ChampionInfo | null | undefined): string {
  const { runId, approval, temporalUiUrl } = announcement;
  const { gate, digest, quorum, decided, expiresAtMs, form, excluded, startUnproven } = approval;
  const lines = [
    `Run ${runId} of ${announcement.pipeline} waits for ${quorum === 1 ? 'a decision' : `${quorum} approvals`} on "${gate}".`,
    '',
    `What waits: ${approval.subjectUri ?? ''}`,
    `Digest: ${digest}`,
    ...metricLines(announcement, champion),
  ];
  for (const { by, decision, verified, comment } of decided)
    lines.push(
      `Decided: ${decision} by ${by}${verified ? '' : ' (unverified)'}${comment === undefined ? '' : `: ${comment}`}`,
    );
  if (excluded !== undefined) lines.push(`${excluded} started the run and may not decide.`);
  if (startUnproven === true)
    lines.push('Nothing proves who started the run, so one more approval is needed than its code asks for.');
  if (expiresAtMs !== undefined)
    lines.push(
      `Expires: ${new Date(expiresAtMs).toISOString()} (${formatDuration(expiresAtMs - approval.openedAtMs)} after it opened)`,
    );
  for (const [name, schema] of Object.entries(form ?? {}))
    lines.push(`You may set ${name}: ${describeSchema(schema)}`);
  // A reader's machine has what the project's packages bring; a program of its own on PATH it may not have.
  const command = (verb: string) =>
    `  npx anneal ${verb} ${shellWord(runId)} ${shellWord(gate)} --digest ${digest}`;
  lines.push('', 'Look at it:', `  npx anneal describe ${shellWord(runId)}`, 'Decide:', command('approve'));
  lines.push(`${command('reject')} --comment 'why'`);
  if (temporalUiUrl !== undefined) lines.push('', `${temporalUiUrl}/workflows/${encodeURIComponent(runId)}`);
  return lines.join('\n');
}

function metricLines(
  { metrics = {}, model }: ApprovalAnnouncement,
  champion: ChampionInfo | null | undefined,
): string[] {
  const lines = Object.entries(metrics).map(([name, value]) => {
    const before = champion?.metrics[name];
    return `${name}: ${value}${before === undefined ? '' : ` (${model?.alias ?? 'champion'}: ${before})`}`;
  });
  if (!model) return lines;
  if (champion === undefined) lines.push(`(${model.name}@${model.alias} could not be read for comparison)`);
  else if (champion === null) lines.push(`${model.name} has no ${model.alias} yet.`);
  else lines.push(`${model.name}@${model.alias} is version ${champion.version}.`);
  return lines;
}
