import { digestOf } from './digest.js';
import type { Json } from './json.js';
import { didYouMean } from './nearest-name.js';
import type { RunState } from './run.js';
import { describeValue, valueProblem, type ParameterSchema } from './schema.js';

/** How a run may end. */
export type RunOutcome = Extract<
  RunState,
  'completed' | 'not-promoted' | 'failed' | 'cancelled' | 'terminated' | 'timed-out'
>;

/** A parameter of the run that a trigger starts: a value, or one of the event's by its path, such as `{ from: 'result.version' }`. */
export type TriggerParameter = Json | { readonly from: string };

/** What starts a run of a pipeline beside its schedule. Each event starts one run, once. */
export type TriggerDefinition = (
  | {
      /** Name of the pipeline whose runs are waited for. */
      readonly after: string;
      /** How they must end. Default `['completed']`. */
      readonly on?: readonly RunOutcome[];
    }
  | {
      /** `<model>@<alias>`: the alias is moved to another version. */
      readonly alias: string;
    }
) & { readonly params?: { readonly [name: string]: TriggerParameter } };

/** What happened. `params` of a trigger may name every member. */
export type TriggerEvent =
  | {
      readonly kind: 'run';
      readonly id: string;
      readonly runId: string;
      readonly executionId: string;
      readonly pipeline: string;
      readonly state: RunState;
      readonly parameters: { readonly [name: string]: Json };
      readonly partition?: string;
      readonly result?: Json;
      readonly atMs: number;
    }
  | {
      readonly kind: 'alias';
      readonly id: string;
      readonly model: string;
      readonly alias: string;
      readonly version: string;
      readonly replaced: string | null;
      readonly by: string;
      readonly atMs: number;
    };

/** A run that was started for an event, as the store keeps it. */
export interface FiredTrigger {
  readonly event: TriggerEvent;
  readonly runId: string;
  readonly atMs: number;
}

/** From when on a trigger counts, and how far it was looked. */
export interface TriggerMark {
  /** What happened before is history. */
  readonly activatedAtMs: number;
  /** Ends of runs before this are fired or do not count. */
  readonly sinceMs: number;
  /** Order of the alias' newest move that was looked at. */
  readonly order?: number;
  /** Where the alias pointed; null: nowhere. */
  readonly version?: string | null;
  /** Moves outside of Anneal that were seen since the trigger counts. */
  readonly outside?: number;
}

/** Memo of a run that a trigger started: the event. */
export const TRIGGER_MEMO = 'anneal.trigger';

const OUTCOMES: readonly RunOutcome[] = [
  ...(['completed', 'not-promoted', 'failed'] as const),
  ...(['cancelled', 'terminated', 'timed-out'] as const),
];

/** What a trigger waits for, in words. */
export function triggerText(trigger: TriggerDefinition): string {
  return 'alias' in trigger
    ? `when ${trigger.alias} moves`
    : `after ${trigger.after} (${outcomesOf(trigger).join(', ')})`;
}

/** How runs must end for a trigger. */
export function outcomesOf(trigger: { readonly on?: readonly RunOutcome[] }): readonly RunOutcome[] {
  return trigger.on ?? ['completed'];
}

/** Name of a trigger in the store and in run ids: another source is another trigger, other parameters are not. */
export function triggerKey(trigger: TriggerDefinition): string {
  const { params: _params, ...source } = trigger;
  return digestOf(source).slice(0, 12);
}

/** Run id of the run that an event starts. */
export function triggeredRunId(pipeline: string, key: string, event: TriggerEvent): string {
  return `${pipeline}/triggered/${key}/${event.id}`;
}

/** What a trigger may wait for: the end of a run, or a move of `<model>@<alias>`. */
export type TriggerSource =
  { readonly kind: 'run'; readonly pipeline: string } | { readonly kind: 'alias'; readonly alias: string };

/** Whether a trigger of these pipelines waits for it. */
export function isAwaited(
  pipelines: readonly { readonly triggers?: readonly TriggerDefinition[] }[],
  source: TriggerSource,
): boolean {
  return pipelines.some(({ triggers = [] }) =>
    triggers.some((trigger) =>
      source.kind === 'run'
        ? 'after' in trigger && trigger.after === source.pipeline
        : 'alias' in trigger && trigger.alias === source.alias,
    ),
  );
}

/** Model and alias of `<model>@<alias>`. */
export function readAliasSource(
  alias: string,
): { readonly model: string; readonly alias: string } | undefined {
  const [, model, name] = /^([^@]+)@([\w-]{1,255})$/.exec(alias) ?? [];
  return model === undefined || name === undefined ? undefined : { model, alias: name };
}

/** The parameters of the run that an event starts. What the event does not have is left out, and the run says that it is missing. */
export function triggeredParams(
  { params = {} }: TriggerDefinition,
  event: TriggerEvent,
): { readonly [name: string]: Json } {
  const given = Object.entries(params).flatMap(([name, value]): [string, Json][] => {
    if (!isPath(value)) return [[name, value]];
    const found = value.from.split('.').reduce<unknown>(memberOf, event);
    return found === undefined ? [] : [[name, found as Json]];
  });
  return Object.fromEntries(given);
}

function isPath(value: TriggerParameter): value is { readonly from: string } {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return Object.keys(value).length === 1 && 'from' in value && typeof value.from === 'string';
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as { readonly [name: string]: unknown })[name]
    : undefined;
}

/** A pipeline as far as its triggers are concerned. */
interface Triggered {
  readonly name: string;
  readonly params: { readonly [name: string]: ParameterSchema };
  readonly triggers?: readonly TriggerDefinition[];
}

/** What is wrong with the triggers of a project's pipelines, one sentence each. */
export function triggerProblems(pipelines: readonly Triggered[]): string[] {
  const names = pipelines.map(({ name }) => name);
  const wrong = pipelines.flatMap((pipeline) =>
    (pipeline.triggers ?? []).flatMap((trigger) => {
      const problem = problemOf(trigger, pipeline, names);
      return problem === undefined ? [] : [`A trigger of pipeline "${pipeline.name}" is wrong: ${problem}.`];
    }),
  );
  const circle = wrong.length > 0 ? undefined : findCircle(pipelines);
  if (circle === undefined) return wrong;
  return [`Pipelines start each other for ever: ${circle.join(' → ')}. Take one of these triggers out.`];
}

function problemOf(
  trigger: TriggerDefinition,
  pipeline: Triggered,
  names: readonly string[],
): string | undefined {
  const known = Object.keys(pipeline.params);
  const unknown = Object.keys(trigger.params ?? {}).find((name) => !known.includes(name));
  if (unknown !== undefined) return `the pipeline has no parameter "${unknown}"${didYouMean(unknown, known)}`;
  const path = pathProblem(trigger) ?? constantProblem(trigger, pipeline);
  if (path !== undefined) return path;
  if ('alias' in trigger)
    return readAliasSource(trigger.alias) === undefined
      ? `"${trigger.alias}" is no alias; write such as "churn-predictor@champion"`
      : undefined;
  if (!names.includes(trigger.after))
    return `there is no pipeline "${trigger.after}"${didYouMean(trigger.after, names)}`;
  const outcome = outcomesOf(trigger).find((one) => !OUTCOMES.includes(one));
  return outcome === undefined ? undefined : `"${outcome}" is none of ${OUTCOMES.join(', ')}`;
}

const MEMBERS: { readonly [kind in TriggerEvent['kind']]: readonly string[] } = {
  run: ['runId', 'executionId', 'pipeline', 'state', 'parameters', 'partition', 'result', 'atMs'],
  alias: ['model', 'alias', 'version', 'replaced', 'by', 'atMs'],
};

/** A member that no event of the trigger has would be left out in silence. */
function pathProblem(trigger: TriggerDefinition): string | undefined {
  const members = MEMBERS['alias' in trigger ? 'alias' : 'run'];
  for (const value of Object.values(trigger.params ?? {})) {
    const [member = ''] = isPath(value) ? value.from.split('.') : members;
    if (!members.includes(member))
      return `its event has no "${member}"${didYouMean(member, members)}; it has ${members.join(', ')}`;
  }
  return undefined;
}

/** A value that is given as it is must be one that the parameter takes. */
function constantProblem(trigger: TriggerDefinition, { params }: Triggered): string | undefined {
  for (const [name, value] of Object.entries(trigger.params ?? {})) {
    const schema = params[name];
    if (schema === undefined || isPath(value)) continue;
    // null says "none", as in the parameters of a run.
    if (value === null && schema.type !== 'json' && schema.default !== undefined) continue;
    const problem = valueProblem(schema, value);
    if (problem !== undefined)
      return `its parameter "${name}" is ${describeValue(value)}; it must be ${problem}`;
  }
  return undefined;
}

/** Pipelines that follow each other in a circle, the first one named twice. */
function findCircle(pipelines: readonly Triggered[]): readonly string[] | undefined {
  const sources = new Map(
    pipelines.map(({ name, triggers = [] }) => [
      name,
      triggers.flatMap((trigger) => ('after' in trigger ? [trigger.after] : [])),
    ]),
  );
  const walk = (name: string, path: readonly string[]): readonly string[] | undefined => {
    const at = path.indexOf(name);
    if (at >= 0) return [...path.slice(at), name].toReversed();
    for (const source of sources.get(name) ?? []) {
      const found = walk(source, [...path, name]);
      if (found !== undefined) return found;
    }
    return undefined;
  };
  for (const { name } of pipelines) {
    const found = walk(name, []);
    if (found !== undefined) return found;
  }
  return undefined;
}
