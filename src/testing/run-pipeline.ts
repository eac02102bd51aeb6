import { AsyncLocalStorage } from 'node:async_hooks';
import { isCancellation } from '@temporalio/workflow';
import { parseDuration } from '../core/duration.js';
import { AnnealError, type FailureInfo } from '../core/failures.js';
import { canonicalJson, type Json } from '../core/json.js';
import type { RunState } from '../core/run.js';
import { checkParameters } from '../core/schema.js';
import { isPipeline, type Pipeline } from '../pipeline/define-pipeline.js';
import { findPipeline } from '../pipeline/registry.js';
import { setRuntime, type PipelineRuntime } from '../pipeline/runtime.js';
import type { ArgumentsOf } from '../pipeline/slots.js';
import { readFailure, toFailure, toRunFailure } from '../workflows/failures.js';
import type { Promotion, Registration } from './made-up-registry.js';
import { isFakeOutcome } from './outcomes.js';
import type { RecordedCall } from './recorded-calls.js';
import { RecordingContext, RepeatingContext } from './test-context.js';
import { createTestRuntime, throughJson } from './test-runtime.js';
import {
  createTestWorld,
  type LoggedLine,
  type SentMessage,
  type TestWorld,
  type WorldOptions,
} from './test-world.js';
import { nextTurn } from './virtual-clock.js';

/** How a test runs a pipeline. */
export type TestOptions<P> = WorldOptions & {
  /** `false`: do not run the pipeline a second time from its journal, which shows code that continue-as-new would break. Default: true. */
  readonly checkRepeatable?: boolean;
} & (object extends ArgumentsOf<P>
    ? { readonly parameters?: ArgumentsOf<P> }
    : { readonly parameters: ArgumentsOf<P> });

type Rest<P> = object extends ArgumentsOf<P> ? [options?: TestOptions<P>] : [options: TestOptions<P>];

/** A run that ended, or that waits for an approval which nobody gives. */
export interface TestRun<R> {
  /** As the CLI shows it. `waiting-for-approval`: no decision was given, and the gate does not expire. */
  readonly state: RunState;
  /** What the pipeline returned, as it is after JSON. @throws Error with the failure, when it did not return. */
  readonly result: R;
  readonly failure: FailureInfo | undefined;
  /** Every call, in the order in which they were made. */
  readonly calls: readonly RecordedCall[];
  /** Names of the step calls, in order. */
  readonly steps: readonly string[];
  /** The only call of that name. @throws Error when there is none or more than one. */
  call(name: string): RecordedCall;
  readonly notifications: readonly SentMessage[];
  readonly registrations: readonly Registration[];
  readonly promotions: readonly Promotion[];
  readonly logs: readonly LoggedLine[];
  /** Gates that wait for a decision. */
  readonly waitingFor: readonly string[];
  /** Virtual time that the run took. */
  readonly elapsedMs: number;
}

/**
 * Runs a pipeline in this process, in milliseconds: no server, no worker, no Python. Steps are answered by fakes, time is virtual; checks of
 * parameters, retries, pools, order of answers and failures are the code of real runs. The pipeline is then run again from its journal, as
 * continue-as-new does.
 * @throws AnnealError NotRepeatable when the second run takes another way; TypeError for a fake that does not fit.
 */
export async function runPipeline<P, R>(
  pipeline: Pipeline<P, R>,
  ...[options]: Rest<P>
): Promise<TestRun<R>> {
  const given: WorldOptions & { readonly checkRepeatable?: boolean; readonly parameters?: unknown } =
    options ?? {};
  const { parameters, checkRepeatable = true, ...around } = given;
  const asRegistered: unknown = pipeline;
  if (!isPipeline(asRegistered))
    throw new TypeError('runPipeline() takes a pipeline, made by definePipeline().');
  const world = createTestWorld(around);
  if (around.cancelAfter !== undefined)
    world.clock.at(parseDuration(around.cancelAfter), () => world.cancellation.abort(new Error('cancelled')));
  const startMs = world.clock.nowMs();
  const session = new TestSession(world, asRegistered);
  let outcome: Outcome | undefined;
  const running = session.run(parameters, world.cancellation.signal).then((ended) => (outcome = ended));
  const drove = await world.clock.drive(() => outcome !== undefined || world.misused() !== undefined);
  const misused = world.misused();
  if (misused) throw misused;
  const waitingFor = world.decisions.waitingFor();
  if (drove === 'done') await running;
  else if (waitingFor.length === 0) throw new Error(stuckMessage(session.name));
  if (outcome && checkRepeatable && !world.cancellation.signal.aborted) await session.repeat();
  return reportOf<R>(world, { outcome, waitingFor, elapsedMs: world.clock.nowMs() - startMs });
}

type Outcome = { readonly result: Json | undefined } | { readonly error: Error };

const REPEATABLE =
  'Its code depends on something that is not recorded, such as Date, Math.random() or a variable outside the function; use now() and random() of anneal.';

/** Which runtime the code that is running belongs to: runs of one process may overlap, and sub-pipelines do. */
const runtimes = new AsyncLocalStorage<PipelineRuntime>();

/** One pipeline of a test, the test's own or a sub-pipeline, with its journal. */
class TestSession {
  private readonly world: TestWorld;
  private readonly pipeline: Pipeline<object, unknown>;
  private readonly children: TestSession[] = [];
  private first:
    { readonly context: RecordingContext; readonly parameters: object; outcome?: Outcome } | undefined;

  constructor(world: TestWorld, pipeline: Pipeline<object, unknown>) {
    this.world = world;
    this.pipeline = pipeline;
  }

  get name(): string {
    return this.pipeline.pipelineName;
  }

  /** The first run, from parameters as given to its end. */
  async run(given: unknown, signal: AbortSignal): Promise<Outcome> {
    const { definition } = this.pipeline;
    const checked = checkParameters(`pipeline "${this.name}"`, definition.params, given);
    if (!checked.ok) return { error: toFailure('InvalidParameter', checked.problems.join(' ')) };
    this.first = { context: new RecordingContext(signal), parameters: checked.values };
    const outcome = await this.execute(this.first.context, checked.values);
    this.first.outcome = outcome;
    if ('error' in outcome && !isCancellation(outcome.error))
      this.tellAboutFailure(readFailure(outcome.error));
    return outcome;
  }

  /** The second run, of sub-pipelines too. @throws AnnealError NotRepeatable */
  async repeat(): Promise<void> {
    for (const child of this.children) await child.repeat();
    if (!this.first?.outcome) return;
    const { context, parameters, outcome } = this.first;
    const again = new RepeatingContext(context.end(), context.asked);
    let second: Outcome | undefined;
    void this.execute(again, parameters).then((ended) => (second = ended));
    await nextTurn();
    const difference = again.divergence() ?? differenceOf(outcome, second);
    if (difference === undefined) return;
    throw new AnnealError(
      'NotRepeatable',
      `Pipeline "${this.name}" took another way when it was run again from its journal: ${difference}. ${REPEATABLE}`,
    );
  }

  private async execute(context: RecordingContext | RepeatingContext, parameters: object): Promise<Outcome> {
    const { world, pipeline } = this;
    const runtime = createTestRuntime({
      world,
      context,
      pipeline: this.name,
      runChild: async (name, values, signal) => await this.runChild(name, values, signal),
    });
    setRuntime(delegatingRuntime());
    return await runtimes.run(runtime, async () => {
      try {
        const result = await pipeline.run(parameters);
        return { result: result === undefined ? undefined : throughJson(result) };
      } catch (error) {
        return { error: toRunFailure(error) };
      }
    });
  }

  private async runChild(
    name: string,
    parameters: { readonly [name: string]: Json },
    signal: AbortSignal,
  ): Promise<Json> {
    const { world } = this;
    const fake = world.fakes.pipeline(name);
    if (fake) return await runFakeChild(world, name, async () => await fake(parameters));
    const child: unknown = findPipeline(name);
    if (!isPipeline(child))
      return world.misuse(
        new TypeError(
          `Pipeline "${this.name}" calls pipeline "${name}", which is not defined. Import its module, or add fakePipeline(...).`,
        ),
      );
    const session = new TestSession(world, child);
    this.children.push(session);
    const outcome = await session.run(parameters, signal);
    if ('error' in outcome) throw outcome.error;
    return outcome.result ?? null;
  }

  private tellAboutFailure({ code, message }: FailureInfo): void {
    const { onFailure: to = [] } = this.pipeline.definition.notify;
    if (to.length > 0)
      this.world.notifications.push({
        event: 'failure',
        to,
        subject: `${this.name} failed: test`,
        text: `${code}: ${message}`,
      });
  }
}

async function runFakeChild(world: TestWorld, name: string, fake: () => Promise<unknown>): Promise<Json> {
  const given = await world.clock.hold(fake);
  if (!isFakeOutcome(given)) return throughJson(given);
  if (given.failure)
    throw toFailure(given.failure.code, given.failure.message ?? `Pipeline "${name}" failed.`);
  return throughJson(given.outputs);
}

/** Hands each call to the runtime of the run that makes it. */
function delegatingRuntime(): PipelineRuntime {
  const current = (): PipelineRuntime => {
    const runtime = runtimes.getStore();
    if (!runtime)
      throw new Error(
        'A step or other call of anneal was made outside a run. Call it inside the function of a pipeline.',
      );
    return runtime;
  };
  return new Proxy({} as PipelineRuntime, {
    get: (_target, name) => Reflect.get(current(), name) as unknown,
  });
}

function differenceOf(first: Outcome, second: Outcome | undefined): string | undefined {
  if (!second) return 'it did not end';
  if (inWords(first) === inWords(second)) return undefined;
  return `it ended with ${inWords(second)}, the first time with ${inWords(first)}`;
}

function inWords(outcome: Outcome): string {
  if ('error' in outcome) return `${readFailure(outcome.error).code} (${readFailure(outcome.error).message})`;
  return outcome.result === undefined ? 'nothing' : canonicalJson(outcome.result);
}

function reportOf<R>(
  world: TestWorld,
  end: {
    readonly outcome: Outcome | undefined;
    readonly waitingFor: readonly string[];
    readonly elapsedMs: number;
  },
): TestRun<R> {
  const { outcome, waitingFor, elapsedMs } = end;
  const { calls } = world.recorder;
  const error = outcome && 'error' in outcome ? outcome.error : undefined;
  return {
    state: stateOf(outcome),
    get result() {
      if (outcome && 'result' in outcome) return outcome.result as R;
      const why = this.failure ? `: ${this.failure.code}: ${this.failure.message}` : ` (${this.state})`;
      throw new Error(`The run has no result${why}`, { cause: error });
    },
    failure: error === undefined || isCancellation(error) ? undefined : readFailure(error),
    calls,
    steps: calls.filter(({ kind }) => kind === 'step').map(({ name }) => name),
    call: (name) => onlyCall(calls, name),
    notifications: world.notifications,
    registrations: world.registry.registrations,
    promotions: world.registry.promotions,
    logs: world.logs,
    waitingFor,
    elapsedMs,
  };
}

function stateOf(outcome: Outcome | undefined): RunState {
  if (!outcome) return 'waiting-for-approval';
  if ('error' in outcome) return isCancellation(outcome.error) ? 'cancelled' : 'failed';
  const { result } = outcome;
  return typeof result === 'object' && result !== null && 'promoted' in result && result.promoted === false
    ? 'not-promoted'
    : 'completed';
}

function onlyCall(calls: readonly RecordedCall[], name: string): RecordedCall {
  const found = calls.filter((call) => call.name === name);
  const [call] = found;
  if (call && found.length === 1) return call;
  const names = [...new Set(calls.map((other) => other.name))].join(', ') || 'none';
  throw new Error(
    call
      ? `"${name}" was called ${found.length} times; look it up in calls.`
      : `"${name}" was not called; the run called: ${names}.`,
  );
}

function stuckMessage(pipeline: string): string {
  return `Pipeline "${pipeline}" waits for something that will not come: a promise of its own, setTimeout, or code with I/O. A pipeline may wait for steps, tasks, sleep(), approvals and sub-pipelines only.`;
}
