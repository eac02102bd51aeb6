import type { Command, CommandContext } from '../command.js';
import { runChecks, type Check, type Finding } from '../doctor-checks.js';
import { EXIT } from '../report-error.js';

/** `anneal doctor`: what is installed, reachable and misconfigured, each with the mend; with `--kubernetes` also what Jobs need of the cluster. Exit code 1 when something does not work. */
export const doctor: Command = async (context, _args, { kubernetes }) => {
  const findings = [
    ...(await runChecks(context)),
    ...(kubernetes === true ? await checkCluster(context) : []),
  ];
  context.terminal.show(findings, () => renderFindings(findings, context));
  return findings.some(({ level }) => level === 'error') ? EXIT.failed : EXIT.ok;
};

/** What Jobs need of the cluster. A project that cannot be opened has been found already. */
async function checkCluster(context: CommandContext): Promise<readonly (Finding & Pick<Check, 'name'>)[]> {
  const project = await context.openProject().catch(() => undefined);
  if (project === undefined) return [];
  const { inspectKubernetes } = await import('../../workers/inspect-kubernetes.js');
  try {
    return await inspectKubernetes(project.config, context.env);
  } catch (error) {
    const found = error instanceof Error ? error.message : String(error);
    return [{ name: 'Kubernetes', level: 'error', found }];
  }
}

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
