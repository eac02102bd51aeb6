import type { Command } from '../command.js';
import { EXIT } from '../report-error.js';

/** `anneal build`: makes the project's build and says what is in it. */
export const build: Command = async (context) => {
  const { terminal } = context;
  const project = await context.openProject();
  const made = await project.build((line) => terminal.line(terminal.colors.dim(`  ${line}`)));
  const { digest, dir, unchanged, warnings, manifest } = made;
  const names = {
    pipelines: manifest.pipelines.map((pipeline) => pipeline.name),
    steps: manifest.steps.map((step) => step.name),
    tasks: manifest.tasks.map((task) => task.name),
  };
  for (const warning of warnings) terminal.error(terminal.colors.yellow(warning));
  terminal.show({ digest, dir, unchanged, warnings, ...names }, () =>
    [
      `${unchanged ? 'Unchanged' : 'Built'} ${digest.slice(0, 12)} in ${dir}`,
      `  pipelines  ${names.pipelines.join(', ') || 'none'}`,
      `  steps      ${names.steps.join(', ') || 'none'}`,
      ...(names.tasks.length === 0 ? [] : [`  tasks      ${names.tasks.join(', ')}`]),
    ].join('\n'),
  );
  return EXIT.ok;
};
