import type { Command, CommandContext } from '../command.js';
import { runChecks, type Check, type Finding } from '../doctor-checks.js';
import { EXIT } from '../report-error.js';

/** `anneal doctor`: what is installed, reachable and misconfigured, each with the mend. Exit code 1 when something does not work. */
export const doctor: Command = async (context) => {
  const findings = await runChecks(context);
  context.terminal.show(findings, () => renderFindings(findings, context));
  return findings.some(({ level }) => level === 'error') ? EXIT.failed : EXIT.ok;
};

function renderFindings(
  findings: readonly (Finding & Pick<Check, 'name'>)[],
  { terminal }: CommandContext,
): string {
  const { colors } = terminal;
  const marks = { ok: colors.green('✔'), warning: colors.yellow('!'), error: colors.red('✘') };
  const width = Math.max(...findings.map(({ name }) => name.length));
  return findings
    .flatMap(({ name, level, found, mend }) => [
      `${marks[level]} ${name.padEnd(width)}  ${found}`,
      ...(mend === undefined ? [] : [`  ${' '.repeat(width)}  ${colors.dim('→')} ${mend}`]),
    ])
    .join('\n');
}
