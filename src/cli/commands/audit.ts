import type { AuditedDecision, RunAudit } from '../../client/index.js';
import type { Command, CommandContext } from '../command.js';
import { EXIT } from '../report-error.js';
import { visible } from '../run-text.js';

/** `anneal audit RUN`: who decided what on which digest; with `--verify` a signature that does not hold is exit code 1. */
export const audit: Command = async (context, [runId = ''], { verify }) => {
  const project = await context.openProject();
  const client = await project.client();
  const found = await client.audit(runId, verify === true ? project.config.approvers : undefined);
  context.terminal.show(found, () => renderAudit(found, context));
  const broken = found.decisions.some(({ check }) => check === 'invalid' || check === 'unknown-key');
  return broken ? EXIT.failed : EXIT.ok;
};

function renderAudit({ runId, state, decisions }: RunAudit, { terminal }: CommandContext): string {
  const { colors } = terminal;
  const lines = [`${colors.bold(runId)}  ${state}`];
  if (decisions.length === 0) lines.push('  Nobody has decided anything in this run.');
  for (const decision of decisions) lines.push(...renderDecision(decision, colors));
  return lines.join('\n');
}

function renderDecision(decision: AuditedDecision, colors: CommandContext['terminal']['colors']): string[] {
  const { gate, by, digest, receivedAtMs, verified, comment, form, signature, check, keptFrom } = decision;
  const paint = decision.decision === 'approve' ? colors.green : colors.red;
  const kind = verified ? 'verified' : 'unverified';
  const lines = [
    `  ${new Date(receivedAtMs).toISOString()}  ${paint(decision.decision)}  "${visible(gate)}"  by ${visible(by)} (${check ?? kind})`,
    colors.dim(`    digest ${digest}`),
  ];
  if (keptFrom) lines.push(colors.yellow(`    kept from run ${visible(keptFrom.runId)}`));
  if (comment !== undefined) lines.push(`    ${visible(comment)}`);
  if (form !== undefined) lines.push(colors.dim(`    form ${visible(JSON.stringify(form))}`));
  if (signature) lines.push(colors.dim(`    key ${signature.key} (${signature.scheme})`));
  return lines;
}
