import type { ArtifactRef } from '../core/artifacts.js';
import { parseDuration } from '../core/duration.js';
import type { Json } from '../core/json.js';
import type { KubernetesOptions } from '../core/kubernetes.js';
import { parseBytes } from '../core/quantity.js';
import { checkParameters, type ParameterSchema } from '../core/schema.js';
import type {
  CommandArgument,
  CommandToken,
  InputAccess,
  PythonEnvironment,
  Resources,
  RetryPolicy,
  SecretRef,
  StepCacheOptions,
  StepDefinition,
} from '../core/step.js';
import { CallRefused } from './call-refused.js';
import { checkAccess } from './check-access.js';
import { checkName } from './check-name.js';
import type { StepCommand } from './define-command.js';
import { handled } from './handled.js';
import { registeredDefinitions } from './registry.js';
import { currentRuntime, type StepOptions } from './runtime.js';
import type { AnyArtifactSlot, ArgumentsOf, Slot, ValueOf, ValuesOf } from './slots.js';

/** What a command may say of an artifact: where its file or directory is while the command runs, and its URI in the store. */
export interface ArtifactPath {
  readonly path: string;
  readonly uri: string;
}

/** How artifacts of a step's inputs are delivered, by input. */
type AccessOf<I> = {
  readonly [k in keyof I as I[k] extends AnyArtifactSlot ? k : never]?: InputAccess;
};

type TokenOf<S, How> = S extends AnyArtifactSlot
  ? How extends 'stream'
    ? Pick<ArtifactPath, 'uri'>
    : ArtifactPath
  : ValueOf<S>;
type OutputTokenOf<S> = S extends AnyArtifactSlot ? ArtifactPath : { readonly path: string };

/** What a command is made of: the call's parameters, and where its artifacts are while it runs. */
export interface CommandTokens<I, O, A = object> {
  readonly inputs: { readonly [k in keyof I]: TokenOf<I[k], k extends keyof A ? A[k] : 'copy'> };
  readonly outputs: { readonly [k in keyof O]: OutputTokenOf<O[k]> };
}

/** What {@link defineStep} takes. */
export interface StepOptionsOf<I, O, A = object> {
  /** Lower-case letters, digits and dashes, 63 at most; unique in the project. */
  readonly name: string;
  /** Container image; needed on Kubernetes, ignored by process pools. */
  readonly image?: string;
  /** Files and directories of the command, relative to anneal.yaml; a file lands in the working directory by its base name, a directory by its contents. */
  readonly code?: string | readonly string[];
  /** An environment made from a pinned, hashed lock; its `bin` comes first on PATH. */
  readonly python?: PythonEnvironment;
  readonly env?: { readonly [name: string]: string | SecretRef };
  readonly inputs: I;
  readonly outputs: O;
  /** The command and its arguments; paths are put in where it runs. No shell is involved. */
  readonly command: (tokens: CommandTokens<I, O, A>) => readonly (string | number)[];
  /**
   * How artifacts are delivered, by input. `copy`, the default: fetched before the command begins. `stream`: the command gets `uri` alone and reads it
   * with access of its own, such as a service account or a secret. `mount`: where it already is, read-only: in a local store, or on Kubernetes on a
   * volume of the pool that `holds` it.
   */
  readonly access?: A & AccessOf<I>;
  readonly resources?: Resources;
  readonly retry?: RetryPolicy;
  /** Pool by name; default: the first in anneal.yaml that fits. */
  readonly pool?: string;
  /** Time that the command of one attempt may take, such as `'2h'`. Default: no limit. */
  readonly timeout?: string;
  /** Time between SIGTERM and SIGKILL. Default `'30s'`. */
  readonly stopGrace?: string;
  /** Reuse the result of an earlier call with the same code, parameters and inputs. Default: no. */
  readonly cache?: false | StepCacheOptions;
  /** `'resume'`: the command continues the step's own MLflow run instead of making one below it. */
  readonly mlflow?: 'resume';
  /** Commands that people may send to it while it runs; they arrive in `ANNEAL_COMMANDS_DIR`. */
  readonly commands?: readonly StepCommand<unknown>[];
  /** What it asks of Kubernetes beside resources, as far as the pool lets steps set it; ignored by process pools. */
  readonly kubernetes?: KubernetesOptions;
}

/** A step, called like a function from a pipeline. Settles when its outputs are safe in the store. */
export interface Step<I, O> {
  (inputs: ArgumentsOf<I>, options?: StepOptions): Promise<ValuesOf<O>>;
  readonly stepName: string;
  readonly definition: StepDefinition;
}

/**
 * Defines a step: one unit of work that runs a command in a process or container.
 * @throws TypeError when the definition itself is wrong (name, durations, memory).
 */
export function defineStep<
  const I extends { readonly [name: string]: Slot },
  const O extends { readonly [name: string]: Slot },
  const A extends AccessOf<I> = object,
>(options: StepOptionsOf<I, O, A>): Step<I, O> {
  const definition = definitionOf(options);
  registeredDefinitions().steps.push(definition);
  const call = (args: ArgumentsOf<I>, callOptions: StepOptions = {}) =>
    handled(callStep(options, definition, { args, callOptions }));
  return Object.assign(call, { stepName: options.name, definition });
}

// Not async: every call passes here, and Temporal's sandbox takes a stack trace for each promise.
function callStep<I extends { readonly [name: string]: Slot }, O, A>(
  options: StepOptionsOf<I, O, A>,
  definition: StepDefinition,
  call: { readonly args: object; readonly callOptions: StepOptions },
): Promise<ValuesOf<O>> {
  try {
    const runtime = currentRuntime(`Step "${definition.name}"`);
    const { parameters, inputs } = splitArguments(definition, call.args);
    return runtime.step({
      definition,
      command: buildCommand(options, definition, parameters),
      parameters,
      inputs,
      options: call.callOptions,
    }) as Promise<ValuesOf<O>>;
  } catch (error) {
    return Promise.reject(error instanceof Error ? error : new Error(String(error)));
  }
}

/** Parameters checked and completed, artifacts checked for their kind. @throws CallRefused */
function splitArguments(
  definition: StepDefinition,
  args: object,
): { parameters: { readonly [name: string]: Json }; inputs: { readonly [name: string]: ArtifactRef } } {
  const inputs: Record<string, ArtifactRef> = {};
  const given: Record<string, unknown> = {};
  const schemas: Record<string, ParameterSchema> = {};
  for (const [name, schema] of Object.entries(definition.inputs))
    if (schema.type !== 'artifact') schemas[name] = schema;
  for (const [name, value] of Object.entries(args)) {
    const schema = definition.inputs[name];
    if (schema?.type !== 'artifact') given[name] = value;
    else inputs[name] = checkArtifact(definition.name, name, { value, kind: schema.kind });
  }
  for (const [name, schema] of Object.entries(definition.inputs))
    if (schema.type === 'artifact' && !inputs[name])
      throw new CallRefused(
        `Step "${definition.name}" needs input "${name}" (a ${schema.kind}); the call does not pass it.`,
      );
  const checked = checkParameters(`step "${definition.name}"`, schemas, given);
  if (!checked.ok) throw new CallRefused(checked.problems.join(' '));
  return { parameters: checked.values, inputs };
}

function checkArtifact(
  step: string,
  name: string,
  found: { readonly value: unknown; readonly kind: string },
): ArtifactRef {
  const ref = found.value as Partial<ArtifactRef> | null | undefined;
  if (
    typeof ref !== 'object' ||
    ref === null ||
    typeof ref.uri !== 'string' ||
    typeof ref.digest !== 'string'
  )
    throw new CallRefused(
      `Input "${name}" of step "${step}" takes a ${found.kind} made by another step${found.kind === 'Dataset' ? ', or by pinDataset()' : ''}.`,
    );
  if (found.kind !== 'Artifact' && ref.kind !== found.kind)
    throw new CallRefused(
      `Input "${name}" of step "${step}" takes a ${found.kind}; it was given a ${ref.kind}.`,
    );
  return ref as ArtifactRef;
}

/** Marks a token inside a command's text; a NUL cannot stand in any argument, so nobody's value can pose as one. */
const MARK = '\0';

function buildCommand<I extends { readonly [name: string]: Slot }, O, A>(
  options: StepOptionsOf<I, O, A>,
  definition: StepDefinition,
  parameters: { readonly [name: string]: Json },
): CommandArgument[] {
  const inputs = Object.entries(definition.inputs).map(([name, schema]) => [
    name,
    schema.type === 'artifact' ? inputToken(definition, name) : parameters[name],
  ]);
  const outputs = Object.keys(definition.outputs).map((name) => [name, artifactPath('output', name)]);
  const tokens: object = { inputs: Object.fromEntries(inputs), outputs: Object.fromEntries(outputs) };
  const command = options.command(tokens as CommandTokens<I, O, A>);
  if (command.length === 0)
    throw new TypeError(`Step "${definition.name}" has an empty command; name the program to run.`);
  return command.map((argument) => toArgument(String(argument)));
}

/** An input that is streamed has no path; code without types may ask for it all the same. */
function inputToken({ name: step, access }: StepDefinition, name: string): ArtifactPath {
  const { path, uri } = artifactPath('input', name);
  if (access?.[name] !== 'stream') return { path, uri };
  return {
    uri,
    get path(): string {
      throw new TypeError(
        `Input "${name}" of step "${step}" is streamed and has no path. Use inputs.${name}.uri, or take it out of access.`,
      );
    },
  };
}

function artifactPath(side: 'input' | 'output', name: string): ArtifactPath {
  return { path: `${MARK}${side}:path:${name}${MARK}`, uri: `${MARK}${side}:uri:${name}${MARK}` };
}

function toArgument(text: string): CommandArgument {
  if (!text.includes(MARK)) return text;
  const pieces = text.split(MARK).map((piece, i) => (i % 2 === 0 ? piece : toToken(piece)));
  return pieces.filter((piece) => piece !== '');
}

function toToken(piece: string): CommandToken {
  const [side, as, ...name] = piece.split(':');
  const form = as === 'uri' ? 'uri' : 'path';
  return side === 'input' ? { input: name.join(':'), as: form } : { output: name.join(':'), as: form };
}

function definitionOf<
  I extends { readonly [name: string]: Slot },
  O extends { readonly [name: string]: Slot },
  A,
>(options: StepOptionsOf<I, O, A>): StepDefinition {
  checkName('Step name', options.name);
  const { ttl, maxWait } = options.cache === undefined || options.cache === false ? {} : options.cache;
  for (const text of [
    options.timeout,
    options.stopGrace,
    options.retry?.delay,
    options.retry?.maxDelay,
    ttl,
    maxWait,
  ])
    if (text !== undefined) parseDuration(text);
  const { memory, ephemeralStorage, sharedMemory, scratch } = options.resources ?? {};
  for (const text of [memory, ephemeralStorage, sharedMemory, scratch?.size])
    if (text !== undefined) parseBytes(text);
  const { command: _command, code, inputs, outputs, commands, access, ...rest } = options;
  return {
    ...rest,
    code: code === undefined ? [] : typeof code === 'string' ? [code] : code,
    env: options.env ?? {},
    inputs: schemasOf(inputs),
    outputs: schemasOf(outputs),
    ...(access === undefined ? {} : { access: checkAccess(options.name, access, inputs) }),
    resources: options.resources ?? {},
    retry: options.retry ?? {},
    stopGrace: options.stopGrace ?? '30s',
    cache: options.cache ?? false,
    ...(commands === undefined ? {} : { commands: commandsOf(options.name, commands) }),
  };
}

function commandsOf(
  step: string,
  commands: readonly StepCommand<unknown>[],
): StepDefinition['commands'] & object {
  const definitions = commands.map(({ definition }) => definition);
  const twice = definitions.find(({ name }, i) =>
    definitions.some((other, j) => j < i && other.name === name),
  );
  if (twice) throw new TypeError(`Step "${step}" names command "${twice.name}" twice; name each once.`);
  return definitions;
}

function schemasOf(slots: { readonly [name: string]: Slot }): StepDefinition['inputs'] {
  return Object.fromEntries(Object.entries(slots).map(([name, slot]) => [name, slot.schema]));
}
