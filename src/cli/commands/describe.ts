import type { BudgetStatus } from '../../core/budget.js';
import { formatCost } from '../../core/cost.js';
import { shellWord, type RunReport, type StepOutputsReport } from '../../client/index.js';
import type { Command, CommandContext } from '../command.js';
import { EXIT } from '../report-error.js';
import { buildRunLinks, type RunLinks } from '../run-links.js';
import { renderLinks, stepTimes } from '../run-summary.js';
import { renderOutput } from '../output-text.js';
import { renderCall, renderPhases, renderRunTree, visible } from '../run-text.js';
import { warnOfWorker } from '../warn-of-worker.js';

/** `anneal describe RUN [STEP]`: everything known of a run, or what one of its steps made. */
export const describe: Command = async (context, [runId = '', step]) => {
  const project = await context.openProject();
  const client = await project.client();
  if (step !== undefined) {
    showOutputs(context, await client.outputs(runId, step));
    return EXIT.ok;
  }
  const report = await client.status(runId);
  const links = buildRunLinks(report, await project.links());
  await warnOfWorker(project, context.terminal);
  context.terminal.show({ ...report, links, steps: stepTimes(report) }, () =>
    renderReport(report, { context, links }),
  );
  return EXIT.ok;
};

function showOutputs({ terminal, nowMs }: CommandContext, made: StepOutputsReport): void {
  const { call, outputs, parameters } = made;
  const { colors } = terminal;
  terminal.show(made, () =>
    [
      renderCall(call, { nowMs: nowMs(), colors, nameWidth: call.name.length }),
      ...renderPhases(call),
      ...outputs.flatMap((output) => renderOutput(output, colors)),
      ...Object.entries(parameters).map(([name, value]) => `  ${name} = ${visible(JSON.stringify(value))}`),
    ].join('\n'),
  );
}

function renderReport(
  report: RunReport,
  { context, links }: { readonly context: CommandContext; readonly links: RunLinks },
): string {
  const { terminal, nowMs } = context;
  const { colors, columns } = terminal;
  const parameters = Object.entries(report.parameters).map(
    ([name, value]) => `${name}=${JSON.stringify(value)}`,
  );
  const lines = renderRunTree(report, { nowMs: nowMs(), columns, colors });
  if (report.failure) lines.push(`  ${colors.red(report.failure.code)}: ${visible(report.failure.message)}`);
  if (report.result !== undefined) lines.push(`  Result: ${visible(JSON.stringify(report.result))}`);
  if (parameters.length > 0) lines.push(`  Parameters: ${visible(parameters.join(' '))}`);
  lines.push(
    `  Started: ${new Date(report.startedAtMs).toISOString()}${report.build === '' ? '' : `, build ${report.build.slice(0, 12)}`}`,
  );
  if (report.cost !== undefined)
    lines.push(
      `  Cost: ${formatCost(report.cost)}${report.owner === undefined ? '' : `, for ${visible(report.owner)}`}`,
    );
  if (report.budget)
    lines.push(renderBudget(report.budget, { context, open: report.endedAtMs === undefined }));
  if (report.retryOf) lines.push(`  Takes up the finished work of ${report.retryOf.runId}`);
  if (report.paused)
    lines.push(
      colors.yellow(
        `  Paused by ${visible(report.paused.by)} at ${new Date(report.paused.atMs).toISOString()}${report.paused.reason === undefined ? '' : `: ${visible(report.paused.reason)}`}; go on with: anneal resume ${shellWord(report.runId)}`,
      ),
    );
  for (const [step, settings] of Object.entries(report.changes ?? {}))
    lines.push(`  Changed for "${visible(step)}": ${visible(JSON.stringify(settings))}`);
  for (const { command, step, by, atMs, answer } of report.commands ?? [])
    lines.push(
      `  Command ${visible(command)} to "${visible(step)}" by ${visible(by)} at ${new Date(atMs).toISOString()}: ${answer.state === 'answered' ? visible(JSON.stringify(answer.answer)) : answer.state}`,
    );
  if (report.continuations > 0) lines.push(`  Continued as new ${report.continuations} times`);
  lines.push(...renderLinks(links));
  if (report.notice !== undefined) lines.push(`  ${colors.yellow(report.notice)}`);
  return lines.join('\n');
}

/** What is spent goes on while attempts run. */
function renderBudget(
  { limit, spent, perHour, atMs, warnedAtMs }: BudgetStatus,
  { context, open }: { readonly context: CommandContext; readonly open: boolean },
): string {
  const { colors } = context.terminal;
  const grown = open ? (perHour * Math.max(0, context.nowMs() - atMs)) / 3_600_000 : 0;
  const rate = open && perHour > 0 ? `, ${formatCost(perHour)} an hour now` : '';
  const text = `  Budget: ${formatCost(spent + grown)} of ${formatCost(limit)} spent${rate}`;
  return warnedAtMs === undefined ? text : colors.yellow(text);
}
