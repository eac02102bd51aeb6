import { canonicalJson, type Json } from './json.js';
import type { PipelineDefinition } from './pipeline-definition.js';
import type { RunStatus } from './run.js';
import { checkParameters } from './schema.js';

/** Code of a build, as far as it can be told apart: digests. */
export interface BuildCode {
  /** The workflow code of all pipelines together. */
  readonly workflows: string;
  /** All tasks together; absent where there are none. */
  readonly tasks?: string;
  /** Each step's files and Python lock. */
  readonly steps: { readonly [step: string]: string };
}

/** Parameters of a run, defaults filled in. */
export type RunParameters = { readonly [name: string]: Json };

/** What the store says of a partition that was made. */
export interface MadePartition {
  readonly key: string;
  readonly runId: string;
  readonly executionId: string;
  readonly build: string;
  /** Of that build, what the run has used. Absent: all of it counts. */
  readonly code?: BuildCode;
  /** All of the run, the key among them. */
  readonly parameters: RunParameters;
  readonly endedAtMs: number;
}

/** What a partition would be made with now. */
export interface PartitionMaking {
  readonly build: string;
  readonly code?: BuildCode;
  /** Undefined: the pipeline would refuse them. */
  readonly parameters: RunParameters | undefined;
}

/** The parameters of the run that makes a partition now, defaults filled in; undefined where the pipeline would refuse them. */
export function partitionParameters(
  { name, params: schemas, partition }: Pick<PipelineDefinition, 'name' | 'params' | 'partition'>,
  key: string,
  params: RunParameters,
): RunParameters | undefined {
  const given = partition === undefined ? params : { ...params, [partition.parameter]: key };
  const checked = checkParameters(`pipeline "${name}"`, schemas, given);
  return checked.ok ? checked.values : undefined;
}

/** Whether a partition need not be made again: the code that made it, and the parameters, are the same now. */
export function isMade(made: MadePartition | undefined, now: PartitionMaking): made is MadePartition {
  if (made === undefined || !isSameJson(made.parameters, now.parameters)) return false;
  if (made.build === now.build) return true;
  return made.code !== undefined && now.code !== undefined && isSameCode(made.code, now.code);
}

function isSameCode(made: BuildCode, now: BuildCode): boolean {
  return (
    made.workflows === now.workflows &&
    (made.tasks === undefined || made.tasks === now.tasks) &&
    Object.entries(made.steps).every(([step, digest]) => now.steps[step] === digest)
  );
}

/** Records of before had no parameters. */
function isSameJson(one: RunParameters | undefined, other: RunParameters | undefined): boolean {
  return one !== undefined && other !== undefined && canonicalJson(one) === canonicalJson(other);
}

/**
 * The code that a run has used: the workflow code, the steps that it called, and the tasks where it called one. All steps and tasks count
 * for a run that does not say which it called: one with sub-pipelines, or with more calls than a record holds.
 */
export function codeUsedBy(
  { calls, counts }: Pick<RunStatus, 'calls' | 'counts'>,
  code: BuildCode,
): BuildCode {
  const called = calls.flatMap(({ kind, name, cache }) => (kind === 'step' ? [cache?.step ?? name] : []));
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
  const saysAll =
    total <= calls.length &&
    !calls.some(({ kind }) => kind === 'pipeline') &&
    called.every((step) => Object.hasOwn(code.steps, step));
  if (!saysAll) return code;
  const { workflows, tasks, steps } = code;
  return {
    workflows,
    ...(tasks !== undefined && calls.some(({ kind }) => kind === 'task') ? { tasks } : {}),
    steps: Object.fromEntries([...new Set(called)].map((step) => [step, steps[step] ?? ''])),
  };
}
