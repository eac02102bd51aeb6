import { NAME_PATTERN, NAME_RULE } from '../../config/name-rule.js';
import type { ProjectConfig } from '../../config/project-config.js';
import { addressProblem, NOTIFY_KEYS } from '../../core/notification-routes.js';
import type { PipelineDefinition } from '../../core/pipeline-definition.js';
import { partitionBefore, partitionProblem } from '../../core/partitions.js';
import { scheduleProblem } from '../../core/schedule-times.js';
import { checkParameters } from '../../core/schema.js';
import { triggerProblems } from '../../core/triggers.js';
import { secretClashes } from '../../core/secret-variable.js';
import type { EvaluatedDefinitions } from './evaluate-definitions.js';

/** What is wrong with a project's definitions as a whole, one sentence each. */
export function definitionProblems(
  definitions: EvaluatedDefinitions,
  source: {
    readonly pipelines: string;
    readonly activities?: string;
    readonly taskExports: readonly string[];
    readonly notifiers: ProjectConfig['notifiers'];
  },
): string[] {
  const { pipelines, steps, tasks, exported } = definitions;
  const problems: string[] = [];
  if (pipelines.length === 0)
    problems.push(`${shown(source.pipelines)} defines no pipeline. Export one made with definePipeline.`);
  for (const [what, named] of [
    ['pipelines', pipelines],
    ['steps', steps],
  ] as const) {
    for (const name of repeated(named))
      problems.push(
        `Two ${what} are called "${name}". Rename one; a ${what.slice(0, -1)} that is used in several places is defined once and imported.`,
      );
    for (const { name } of named)
      if (!NAME_PATTERN.test(name))
        problems.push(
          `"${name}" cannot be the name of one of the ${what}; it must be ${NAME_RULE}. Rename it.`,
        );
  }
  for (const { name } of pipelines)
    if (!exported.includes(name))
      problems.push(
        `Pipeline "${name}" is defined but not exported by ${shown(source.pipelines)}, so it could not be started. Export it.`,
      );
  problems.push(
    ...lostAddresses(pipelines, source.notifiers),
    ...pipelines.flatMap(wrongSchedule),
    ...triggerProblems(pipelines),
  );
  for (const { name } of tasks)
    if (!source.taskExports.includes(name)) problems.push(missingTask(name, source));
  const secrets = steps
    .flatMap(({ env }) => Object.values(env))
    .flatMap((value) => (typeof value === 'object' ? [value.secret] : []));
  return [...problems, ...secretClashes(secrets)];
}

/** What keeps a schedule from starting runs, or a partition from being named. */
function wrongSchedule({ name, params, schedule, partition }: PipelineDefinition): string[] {
  const wrong = partition && partitionProblem(partition, params);
  if (wrong !== undefined) return [`The partition of pipeline "${name}" is wrong: ${wrong}.`];
  if (schedule === undefined) return [];
  const problem = scheduleProblem(schedule);
  if (problem !== undefined) return [`The schedule of pipeline "${name}" is wrong: ${problem}.`];
  // The time says the key.
  const key = partition && partitionBefore(partition, 0);
  const given = key === undefined ? {} : { [partition?.parameter ?? '']: key };
  const checked = checkParameters(`pipeline "${name}"`, params, { ...given, ...schedule.params });
  return checked.ok ? [] : [`The schedule of pipeline "${name}" is wrong: ${checked.problems.join(' ')}`];
}

/** Addresses of pipelines that lead nowhere. */
function lostAddresses(
  pipelines: EvaluatedDefinitions['pipelines'],
  notifiers: ProjectConfig['notifiers'],
): string[] {
  return pipelines.flatMap(({ name, notify }) =>
    NOTIFY_KEYS.flatMap((key) =>
      (notify[key] ?? []).flatMap((address) => {
        const problem = addressProblem(address, notifiers);
        const text = `"${address}" in notify.${key} of pipeline "${name}" ${problem ?? ''}. Correct it.`;
        return problem === undefined ? [] : [text];
      }),
    ),
  );
}

function missingTask(
  name: string,
  { activities, taskExports }: { readonly activities?: string; readonly taskExports: readonly string[] },
): string {
  if (activities === undefined)
    return `Task "${name}" has no function: anneal.yaml names no module of tasks. Set activities: in anneal.yaml to the module that exports ${name}.`;
  return `Task "${name}" has no function: ${shown(activities)} exports ${taskExports.length === 0 ? 'nothing' : taskExports.join(', ')}. Export a function ${name} there.`;
}

function repeated(named: readonly { readonly name: string }[]): string[] {
  const names = named.map(({ name }) => name);
  return [...new Set(names.filter((name, at) => names.indexOf(name) !== at))];
}

function shown(module: string): string {
  return module.replace(/^\.\//, '');
}
