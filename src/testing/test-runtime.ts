import type { ArtifactRef } from '../core/artifacts.js';
import { digestOf } from '../core/digest.js';
import type { Json } from '../core/json.js';
import { datasetUriProblem } from '../core/pinned-data.js';
import type { PipelineRuntime, TaskOptions } from '../pipeline/runtime.js';
import { readFailure, toFailure } from '../workflows/failures.js';
import type { NewCall, RecordedCall } from './recorded-calls.js';
import type { TestCallIdentity, TestContext } from './test-context.js';
import { checkPool, runFakeStep, stepInput, type StepProgress } from './test-step.js';
import type { TestWorld } from './test-world.js';

/** Runs a sub-pipeline of the test's pipeline. */
export type RunChild = (
  name: string,
  parameters: { readonly [name: string]: Json },
  signal: AbortSignal,
) => Promise<Json>;

/** What {@link createTestRuntime} is made of. */
export interface TestRuntimeDeps {
  readonly world: TestWorld;
  readonly context: TestContext;
  /** Name of the pipeline that calls. */
  readonly pipeline: string;
  readonly runChild: RunChild;
}

/** The runtime of a pipeline in a test. Names and inputs of calls are those of the real runtime (src/workflows/runtime.ts), so that journals agree. */
export function createTestRuntime(deps: TestRuntimeDeps): PipelineRuntime {
  const { world, context } = deps;
  const make = createCallMaker(deps);
  return {
    ...workCalls(deps, make),
    ...modelCalls(deps, make),
    pinDataset: async (name, uri) =>
      await make(
        { kind: 'dataset', name, input: uri },
        { kind: 'dataset', name, parameters: { uri } },
        async () => await Promise.resolve(pinnedDataset(world, name, uri)),
      ),
    sleep: async (ms) =>
      await make(
        { kind: 'sleep', name: '', input: ms },
        { kind: 'sleep', name: 'sleep' },
        async (_call, signal) => await world.clock.wait(Math.max(1, ms), signal),
      ),
    now: () => context.callNow({ kind: 'now', name: '' }, () => world.clock.nowMs()),
    random: () => context.callNow({ kind: 'random', name: '' }, world.random),
    approval: async (gate, options) =>
      await make(
        { kind: 'approval', name: gate, input: options.subject.digest },
        { kind: 'approval', name: gate, inputs: { subject: options.subject } },
        async (_call, signal) =>
          await world.decisions.wait(gate, options, async (ms) => {
            await (ms === undefined ? new Promise<never>(() => undefined) : world.clock.wait(ms, signal));
          }),
      ),
    notify: async ({ to, subject, text }) =>
      await context.call({ kind: 'notify', name: subject, input: text }, async () => {
        world.notifications.push(await Promise.resolve({ event: 'message', to, subject, text } as const));
      }),
    cleanup: async (fn) => await context.shielded(fn),
    log: (message, fields) => context.once(() => world.logs.push({ message, fields })),
  };
}

/** A dataset as it would be pinned; as in a run, the URI is checked. */
function pinnedDataset({ datasets }: TestWorld, name: string, uri: string): ArtifactRef<'Dataset', object> {
  const problem = datasetUriProblem(uri);
  if (problem !== undefined)
    throw toFailure(
      'InvalidInput',
      `The URI of dataset "${name}" is "${uri.slice(0, 200)}"; it must be ${problem}.`,
    );
  const digest = digestOf({ contents: datasets[uri] ?? uri });
  return { kind: 'Dataset', uri, digest, sizeBytes: 1, form: 'file', values: {} };
}

type OpenCall = { -readonly [k in keyof RecordedCall]: RecordedCall[k] };

/** Makes a call through the journal, and records it for the test while it goes on. */
type MakeCall = <T>(
  identity: TestCallIdentity,
  recorded: Omit<NewCall, 'pipeline'>,
  work: (call: OpenCall, signal: AbortSignal) => Promise<T>,
) => Promise<T>;

function createCallMaker({ world, context, pipeline }: TestRuntimeDeps): MakeCall {
  return async (identity, recorded, work) =>
    await context.call(
      identity,
      async (signal) =>
        await world.recorder.during(
          { ...recorded, pipeline },
          async (call) => await work(call, signal),
          (error) => endOf(error, signal),
        ),
    );
}

/** Steps, tasks and sub-pipelines. */
function workCalls(
  deps: TestRuntimeDeps,
  make: MakeCall,
): Pick<PipelineRuntime, 'step' | 'task' | 'pipeline'> {
  const { world, runChild } = deps;
  const indexes = new Map<string, number>();
  const nextIndex = (step: string) => {
    const index = indexes.get(step) ?? 0;
    indexes.set(step, index + 1);
    return index;
  };
  return {
    step: async (request) => {
      checkPool(world, request);
      const { definition, options, parameters, inputs } = request;
      const { name: step } = definition;
      const name = options.name ?? step;
      return await make(
        { kind: 'step', name, input: stepInput(request) },
        { kind: 'step', name, step, parameters, inputs },
        async (call, signal) =>
          await runFakeStep(world, { request, index: nextIndex(step), progress: progressOf(call) }, signal),
      );
    },
    task: async (name, input, options) =>
      await make(
        { kind: 'task', name, input },
        { kind: 'task', name, parameters: parametersOf(input) },
        async (call, signal) => {
          const onTry = (attempts: number) => void (call.attempts = attempts);
          return await runTask(deps, { name, input, options, onTry }, signal);
        },
      ),
    pipeline: async (name, parameters) =>
      await make(
        { kind: 'pipeline', name, input: parameters },
        { kind: 'pipeline', name, parameters },
        async (_call, signal) => await runChild(name, parameters, signal),
      ),
  };
}

function progressOf(call: OpenCall): StepProgress {
  return {
    onAttempt: (attempts, resources) => void Object.assign(call, { attempts, resources }),
    onFailure: (code) => void (call.failures = [...call.failures, code]),
  };
}

function modelCalls(
  { world, context }: TestRuntimeDeps,
  make: MakeCall,
): Pick<PipelineRuntime, 'registerModel' | 'promote' | 'rollback' | 'demote' | 'champion'> {
  const { registry } = world;
  const operation = async <T>(name: string, input: string | undefined, work: () => T): Promise<T> =>
    await make(
      { kind: 'model', name, ...(input === undefined ? {} : { input }) },
      { kind: 'model', name },
      async () => await Promise.resolve(work()),
    );
  return {
    registerModel: async (options) =>
      await operation(`register ${options.name}`, options.model.digest, () => registry.register(options)),
    promote: async (name, version, alias) =>
      await operation(`promote ${name}@${alias}`, version, () =>
        registry.promote(name, Number(version), alias),
      ),
    rollback: async (name, alias) =>
      await operation(`rollback ${name}@${alias}`, undefined, () => registry.rollback(name, alias)),
    demote: async (name, alias) =>
      await operation(`demote ${name}@${alias}`, undefined, () => registry.demote(name, alias)),
    champion: async (name, alias) =>
      await context.call(
        { kind: 'model', name: `champion ${name}@${alias}` },
        async () => await Promise.resolve(registry.champion(name, alias)),
      ),
  };
}

interface TaskCall {
  readonly name: string;
  readonly input: Json;
  readonly options: TaskOptions;
  readonly onTry: (attempts: number) => void;
}

/** Tries as Temporal does: 1 s before the second, then twice as long each, a minute at most. */
async function runTask({ world }: TestRuntimeDeps, task: TaskCall, signal: AbortSignal): Promise<Json> {
  const { name, input, options, onTry } = task;
  const behave = world.fakes.task(name);
  if (!behave)
    return world.misuse(
      new TypeError(
        `The pipeline calls task "${name}", which has no fake. Add fakeTask(...) with its function, or another.`,
      ),
    );
  const tries = options.attempts ?? 3;
  for (let attempt = 1; ; attempt++) {
    onTry(attempt);
    try {
      return throughJson(await world.clock.hold(async () => await behave(throughJson(input)))) ?? null;
    } catch (error) {
      if (attempt >= tries)
        throw toFailure(
          'TaskFailed',
          `Task "${name}" threw: ${error instanceof Error ? error.message : String(error)}`,
        );
    }
    await world.clock.wait(Math.min(1_000 * 2 ** (attempt - 1), 60_000), signal);
  }
}

/** A value as it is after it crossed a history. */
export function throughJson(value: unknown): Json {
  return value === undefined ? null : (JSON.parse(JSON.stringify(value)) as Json);
}

function parametersOf(input: Json): { readonly [name: string]: Json } {
  return typeof input === 'object' && input !== null && !Array.isArray(input)
    ? (input as { readonly [name: string]: Json })
    : { input };
}

function endOf(error: unknown, signal: AbortSignal): Partial<RecordedCall> {
  return signal.aborted ? { state: 'cancelled' } : { failure: readFailure(error) };
}
