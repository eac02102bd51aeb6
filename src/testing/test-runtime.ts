import type { Json } from '../core/json.js';
import type { PipelineRuntime, StepRequest, TaskOptions } from '../pipeline/runtime.js';
import { readFailure, toFailure } from '../workflows/failures.js';
import type { NewCall, RecordedCall } from './recorded-calls.js';
import type { TestContext } from './test-context.js';
import { checkPool, runFakeStep, stepInput } from './test-step.js';
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
  const { world, context, pipeline, runChild } = deps;
  const { clock, registry } = world;
  const recorded = async <T>(
    call: Omit<NewCall, 'pipeline'>,
    signal: AbortSignal,
    work: Parameters<typeof world.recorder.during<T>>[1],
  ) => await world.recorder.during({ ...call, pipeline }, work, (error) => endOf(error, signal));
  const model = async <T>(name: string, input: string, work: () => T): Promise<T> =>
    await context.call(
      { kind: 'model', name, input },
      async (signal) => await recorded({ kind: 'model', name }, signal, async () => work()),
    );
  return {
    step: createStepRunner(deps, recorded),
    task: async (name, input, options) =>
      await context.call(
        { kind: 'task', name, input },
        async (signal) =>
          await recorded(
            { kind: 'task', name, parameters: parametersOf(input) },
            signal,
            async (call) =>
              await runTask(
                deps,
                { name, input, options, onTry: (attempts) => (call.attempts = attempts) },
                signal,
              ),
          ),
      ),
    pipeline: async (name, parameters) =>
      await context.call(
        { kind: 'pipeline', name, input: parameters },
        async (signal) =>
          await recorded(
            { kind: 'pipeline', name, parameters },
            signal,
            async () => await runChild(name, parameters, signal),
          ),
      ),
    sleep: async (ms) =>
      await context.call(
        { kind: 'sleep', name: '', input: ms },
        async (signal) =>
          await recorded(
            { kind: 'sleep', name: 'sleep' },
            signal,
            async () => await clock.wait(Math.max(1, ms), signal),
          ),
      ),
    now: () => context.callNow({ kind: 'now', name: '' }, () => clock.nowMs()),
    random: () => context.callNow({ kind: 'random', name: '' }, world.random),
    approval: async (gate, options) =>
      await context.call(
        { kind: 'approval', name: gate, input: options.subject.digest },
        async (signal) =>
          await recorded(
            { kind: 'approval', name: gate, inputs: { subject: options.subject } },
            signal,
            async () =>
              await world.decisions.wait(
                gate,
                options,
                async (ms) =>
                  await (ms === undefined ? new Promise<never>(() => undefined) : clock.wait(ms, signal)),
              ),
          ),
      ),
    registerModel: async (options) =>
      await model(`register ${options.name}`, options.model.digest, () => registry.register(options)),
    promote: async (name, version, alias) =>
      await model(`promote ${name}@${alias}`, version, () => registry.promote(name, Number(version), alias)),
    champion: async (name, alias) =>
      await context.call(
        { kind: 'model', name: `champion ${name}@${alias}` },
        async () => await Promise.resolve(registry.champion(name, alias)),
      ),
    notify: async ({ to, subject, text }) =>
      await context.call({ kind: 'notify', name: subject, input: text }, async () => {
        world.notifications.push(await Promise.resolve({ event: 'message', to, subject, text } as const));
      }),
    cleanup: async (fn) => await context.shielded(fn),
    log: (message, fields) => void world.logs.push({ message, fields }),
  };
}

type Recorded = <T>(
  call: Omit<NewCall, 'pipeline'>,
  signal: AbortSignal,
  work: (call: { -readonly [k in keyof RecordedCall]: RecordedCall[k] }) => Promise<T>,
) => Promise<T>;

function createStepRunner({ world, context }: TestRuntimeDeps, recorded: Recorded): PipelineRuntime['step'] {
  const calls = new Map<string, number>();
  return async (request: StepRequest) => {
    checkPool(world, request);
    const { definition, options, parameters, inputs } = request;
    const name = options.name ?? definition.name;
    return await context.call({ kind: 'step', name, input: stepInput(request) }, async (signal) => {
      const index = calls.get(definition.name) ?? 0;
      calls.set(definition.name, index + 1);
      return await recorded(
        { kind: 'step', name, step: definition.name, parameters, inputs },
        signal,
        async (call) => {
          const progress = {
            onAttempt: (attempts: number, resources: RecordedCall['resources']) =>
              void Object.assign(call, { attempts, resources }),
            onFailure: (code: RecordedCall['failures'][number]) =>
              void (call.failures = [...call.failures, code]),
          };
          return await runFakeStep(world, { request, index, progress }, signal);
        },
      );
    });
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
