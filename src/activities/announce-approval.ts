import type { ApprovalAnnouncement, ChampionInfo, SystemActivities } from '../core/activities.js';
import { formatDuration } from '../core/duration.js';
import { describeSchema } from '../core/schema.js';
import { shellWord } from '../core/shell-word.js';
import type { ActivityContext } from './ports/activity-context.js';
import { withHeartbeat } from './tracking-context.js';

/** What {@link createAnnounceApproval} is made of. */
export interface AnnounceApprovalDeps {
  readonly notify: SystemActivities['notify'];
  /** What a registered model's alias points at; absent where the project has no MLflow. */
  readonly findChampion?: FindChampion | undefined;
  readonly context: () => ActivityContext;
  /** How long the registry is waited for. Default 10 s. */
  readonly patienceMs?: number;
}

/** Ends with the signal's reason when that aborts. @returns null where the alias is not set. */
export type FindChampion = (
  of: NonNullable<ApprovalAnnouncement['model']>,
  signal: AbortSignal,
) => Promise<ChampionInfo | null>;

/** A registry that is away must not keep the message back: the activity itself has a minute. */
const PATIENCE_MS = 10_000;
/** Metrics and characters of a comment that are shown: Slack cuts a long text at its end, where the command is. */
const METRICS_SHOWN = 20;
const COMMENT_SHOWN = 200;

/** The part of {@link SystemActivities} that tells approvers: a message like any other, with what a decision needs. */
export function createAnnounceApproval(
  deps: AnnounceApprovalDeps,
): Pick<SystemActivities, 'announceApproval'> {
  return {
    announceApproval: (announcement) =>
      withHeartbeat(deps.context(), async (signal) => {
        const champion = await readChampion(deps, announcement, signal);
        const { id, runId, executionId, to, approval, pipeline, why, tracking } = announcement;
        await deps.notify({
          ...{ id, to, pipeline, runId, executionId },
          event: 'approval',
          subject: `${SUBJECTS[why]}${pipeline} waits for approval "${approval.gate}"`,
          text: approvalText(announcement, champion),
          ...(tracking === undefined ? {} : { tracking }),
        });
      }),
  };
}

/** What waits is compared with: null where the alias is not set, undefined where it was not asked or did not answer. */
type Champion = ChampionInfo | null | undefined;

async function readChampion(
  { findChampion, patienceMs = PATIENCE_MS }: AnnounceApprovalDeps,
  { model }: ApprovalAnnouncement,
  signal: AbortSignal,
): Promise<Champion> {
  if (!model || !findChampion) return undefined;
  try {
    return await findChampion(model, AbortSignal.any([signal, AbortSignal.timeout(patienceMs)]));
  } catch {
    signal.throwIfAborted();
    return undefined;
  }
}

const SUBJECTS = { opened: '', reminder: 'Reminder: ', escalated: 'Escalated: ' } as const;

/** What an approver reads; the links are the notification's own. */
function approvalText(announcement: ApprovalAnnouncement, champion: Champion): string {
  const { runId, approval } = announcement;
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
      `Decided: ${decision} by ${by}${verified ? '' : ' (unverified)'}${comment === undefined ? '' : `: ${shortComment(comment)}`}`,
    );
  if (excluded !== undefined) lines.push(`${excluded} started the run and may not decide.`);
  if (startUnproven === true)
    lines.push('Nothing proves who started the run, so one more approval is needed than its code asks for.');
  if (expiresAtMs !== undefined)
    lines.push(
      `Expires: ${new Date(expiresAtMs).toISOString()} (${formatDuration(expiresAtMs - approval.openedAtMs)} after it opened)`,
    );
  for (const [name, schema] of Object.entries(form ?? {}))
    lines.push(`You may set ${name}, ${describeSchema(schema)}: --set ${shellWord(name)}=VALUE`);
  // A reader's machine has what the project's packages bring; a program of its own on PATH it may not have.
  const command = (verb: string) =>
    `  npx anneal ${verb} ${shellWord(runId)} ${shellWord(gate)} --digest ${digest}`;
  lines.push('', 'Look at it:', `  npx anneal describe ${shellWord(runId)}`, 'Decide:', command('approve'));
  lines.push(`${command('reject')} --comment 'why'`);
  return lines.join('\n');
}

function metricLines({ metrics = {}, model }: ApprovalAnnouncement, champion: Champion): string[] {
  const all = Object.entries(metrics);
  const lines = all.slice(0, METRICS_SHOWN).map(([name, value]) => {
    const before = champion?.metrics[name];
    return `${name}: ${value}${before === undefined ? '' : ` (${model?.alias ?? 'champion'}: ${before})`}`;
  });
  if (all.length > METRICS_SHOWN) lines.push(`(${all.length - METRICS_SHOWN} more metrics)`);
  if (!model) return lines;
  if (champion === undefined) lines.push(`(${model.name}@${model.alias} could not be read for comparison)`);
  else if (champion === null) lines.push(`${model.name} has no ${model.alias} yet.`);
  else lines.push(`${model.name}@${model.alias} is version ${champion.version}.`);
  return lines;
}

/** In one line: nothing that a person wrote may look like the message's own commands. */
function shortComment(comment: string): string {
  const line = comment.replaceAll(/\s+/g, ' ').trim();
  return line.length > COMMENT_SHOWN ? `${line.slice(0, COMMENT_SHOWN)} ...` : line;
}
