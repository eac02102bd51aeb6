import type { RunReport } from '../../client/index.js';
import type { Command, CommandContext } from '../command.js';
import { EXIT } from '../report-error.js';
import { buildRunLinks, type RunLinks } from '../run-links.js';
import { renderLinks, stepTimes } from '../run-summary.js';
import { renderRunTree, visible } from '../run-text.js';
import { warnOfWorker } from '../warn-of-worker.js';

/** `anneal describe RUN`: everything known of a run. */
export const describe: Command = async (context, [runId = '']) => {
  const project = await context.openProject();
  const report = await (await project.client()).status(runId);
  const links = buildRunLinks(report, await project.links());
  await warnOfWorker(project, context.terminal);
  context.terminal.show({ ...report, links, steps: stepTimes(report) }, () =>
    renderReport(report, { context, links }),
  );
  return EXIT.ok;
};

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
  if (report.continuations > 0) lines.push(`  Continued as new ${report.continuations} times`);
  lines.push(...renderLinks(links));
  if (report.notice !== undefined) lines.push(`  ${colors.yellow(report.notice)}`);
  return lines.join('\n');
}
