import type { AuditedDecision, RunAudit } from '../../client/index.js';
import type { GateRecord } from '../../core/gate-record.js';
import type { Command, CommandContext } from '../command.js';
import { EXIT } from '../report-error.js';
import { visible } from '../run-text.js';

/** `anneal audit RUN`: who decided what on which digest; with `--verify` what does not hold is exit code 1. */
export const audit: Command = async (context, [runId = ''], { verify }) => {
  const project = await context.openProject();
  const client = await project.client();
  const found = await client.audit(runId, verify === true ? project.config.approvers : undefined);
  context.terminal.show(found, () => renderAudit(found, context));
  const { decisions, comparison } = found;
  const forged = decisions.some(({ check }) => check === 'invalid' || check === 'unknown-key');
  return forged || (comparison?.problems.length ?? 0) > 0 ? EXIT.failed : EXIT.ok;
};

type Colors = CommandContext['terminal']['colors'];

/** What happened at one moment, in lines. */
interface Entry {
  readonly atMs: number;
  readonly lines: readonly string[];
}

function renderAudit(found: RunAudit, { terminal: { colors } }: CommandContext): string {
  const { runId, state, decisions, gates } = found;
  const lines = [`${colors.bold(runId)}  ${state}`];
  if (decisions.length === 0) lines.push('  Nobody has decided anything in this run.');
  lines.push(...inOrder(decisions, gates, colors).flatMap((entry) => entry.lines));
  lines.push(...renderComparison(found, colors));
  return lines.join('\n');
}

/** Of one moment: what opened, then what people decided, then what came of it. */
function inOrder(
  decisions: readonly AuditedDecision[],
  gates: readonly GateRecord[],
  colors: Colors,
): readonly Entry[] {
  const entries = [
    ...gates.flatMap((gate) => beginningOf(gate, colors)),
    ...decisions.map((decision) => ({
      atMs: decision.receivedAtMs,
      lines: renderDecision(decision, colors),
    })),
    ...gates.flatMap((gate) => endOf(gate, colors)),
  ];
  return entries.sort((a, b) => a.atMs - b.atMs);
}

function beginningOf({ gate, digest, openedAtMs, quorum, escalated }: GateRecord, colors: Colors): Entry[] {
  const line = (atMs: number, what: string) => ({ atMs, lines: [`  ${timeOf(atMs)}  ${what}`] });
  const asked = quorum === 1 ? '' : `, ${quorum} approvals asked`;
  const name = `"${visible(gate)}"`;
  const opened = line(openedAtMs, colors.dim(`opened  ${name}  digest ${digest}${asked}`));
  if (!escalated) return [opened];
  const to = escalated.to.map((person) => visible(person)).join(', ');
  return [opened, line(escalated.atMs, `${colors.yellow('escalated')}  ${name}  to ${to}`)];
}

function endOf({ gate, ended }: GateRecord, colors: Colors): Entry[] {
  if (!ended) return [];
  const { atMs, outcome, by, countsAs } = ended;
  const whose = by === undefined ? '' : `  by ${by.map((person) => visible(person)).join(', ')}`;
  const meaning = countsAs === undefined ? '' : `, which counts as: ${countsAs}`;
  const paint = outcome === 'approved' ? colors.green : colors.red;
  return [{ atMs, lines: [`  ${timeOf(atMs)}  ${paint(outcome)}  "${visible(gate)}"${whose}${meaning}`] }];
}

function renderDecision(decision: AuditedDecision, colors: Colors): string[] {
  const { gate, by, digest, receivedAtMs, verified, comment, form, signature, check, keptFrom } = decision;
  const paint = decision.decision === 'approve' ? colors.green : colors.red;
  const kind = verified ? 'verified' : 'unverified';
  const lines = [
    `  ${timeOf(receivedAtMs)}  ${paint(decision.decision)}  "${visible(gate)}"  by ${visible(by)} (${check ?? kind})`,
    colors.dim(`    digest ${digest}`),
  ];
  if (keptFrom) lines.push(colors.yellow(`    kept from run ${visible(keptFrom.runId)}`));
  if (comment !== undefined) lines.push(`    ${visible(comment)}`);
  if (form !== undefined) lines.push(colors.dim(`    form ${visible(JSON.stringify(form))}`));
  if (signature) lines.push(colors.dim(`    key ${signature.key} (${signature.scheme})`));
  return lines;
}

function renderComparison({ comparison }: RunAudit, colors: Colors): readonly string[] {
  if (!comparison) return [];
  const { with: source, problems } = comparison;
  if (problems.length > 0) return problems.map((problem) => colors.red(`  ${visible(problem)}`));
  switch (source) {
    case 'run':
      return [colors.dim('  This is what the run itself says now.')];
    case 'history':
      return [colors.dim('  The record is what the run handed over, as its history in Temporal has it.')];
    case 'none':
      return [
        colors.yellow(
          '  The run ended without a word of its own, so nothing shows that these are all of its decisions.',
        ),
      ];
  }
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString();
}
