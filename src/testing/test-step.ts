import { parseDuration } from '../core/duration.js';
import { failureRow, type FailureCode } from '../core/failures.js';
import type { Json } from '../core/json.js';
import { choosePool } from '../core/pools.js';
import { decideRetry, FIRST_ATTEMPT, type RetryState } from '../core/retry.js';
import type { Resources } from '../core/step.js';
import type { StepOutputs, StepRequest } from '../pipeline/runtime.js';
import { toFailure } from '../workflows/failures.js';
import type { FakeCall } from './fakes.js';
import { makeUpOutputs } from './made-up-outputs.js';
import { isFakeOutcome, type FakeOutcome } from './outcomes.js';
import type { TestWorld } from './test-world.js';

/** How one attempt of a fake step ended. */
export type FakeAttempt =
  | { readonly kind: 'succeeded'; readonly outputs: StepOutputs; readonly takesMs: number }
  | {
      readonly kind: 'failed';
      readonly code: FailureCode;
      readonly message: string;
      readonly takesMs: number;
    };

/** One attempt as it is asked of a fake. */
export interface FakeAttemptRequest extends Pick<
  FakeCall<never>,
  'name' | 'attempt' | 'index' | 'resources'
> {
  readonly request: StepRequest;
}

/** What the run's status and the test's record learn of a step while it goes on. */
export interface StepProgress {
  onAttempt(attempt: number, resources: Resources): void;
  onFailure(code: FailureCode): void;
}

/** Input of a step's journal key: the same as in a real run. */
export function stepInput(request: StepRequest): unknown {
  const inputs = Object.entries(request.inputs).map(([name, ref]): [string, Json] => [
    name,
    [ref.kind, ref.digest],
  ]);
  return { parameters: request.parameters, inputs: Object.fromEntries(inputs) };
}

/** @throws a failure `NoPoolFits`, when the test gave pools. */
export function checkPool(world: TestWorld, request: StepRequest): void {
  if (!world.pools) return;
  const { definition, options } = request;
  const pool = options.pool ?? definition.pool;
  const resources = { ...definition.resources, ...options.resources };
  const choice = choosePool(
    options.name ?? definition.name,
    { resources, ...(pool === undefined ? {} : { pool }) },
    world.pools,
  );
  if (!choice.ok) throw toFailure('NoPoolFits', choice.message);
}

/** Runs a fake step's attempts with the step's own retries, in virtual time. */
export async function runFakeStep(
  world: TestWorld,
  step: { readonly request: StepRequest; readonly index: number; readonly progress: StepProgress },
  signal: AbortSignal,
): Promise<StepOutputs> {
  const { request, index, progress } = step;
  const { definition, options } = request;
  const asked = { ...definition.resources, ...options.resources };
  const retry = { ...definition.retry, ...options.retry };
  const name = options.name ?? definition.name;
  for (let state: RetryState = FIRST_ATTEMPT; ;) {
    const resources = state.memory === undefined ? asked : { ...asked, memory: state.memory };
    progress.onAttempt(state.attempt, resources);
    const attempt = await fakeAttempt(world, { request, name, index, attempt: state.attempt, resources });
    await world.clock.wait(attempt.takesMs, signal);
    if (attempt.kind === 'succeeded') return attempt.outputs;
    progress.onFailure(attempt.code);
    const decision = decideRetry(retry, asked, { outcome: attempt, state });
    if (decision.action === 'fail')
      throw toFailure(attempt.code, `${attempt.message} Not retried: ${decision.reason}.`);
    ({ state } = decision);
    await world.clock.wait(decision.delayMs, signal);
  }
}

/** Asks the fake how an attempt ends. A fake that throws, or gives what the step does not have, ends the test. */
export async function fakeAttempt(
  world: Pick<TestWorld, 'fakes' | 'clock' | 'misuse'>,
  asked: FakeAttemptRequest,
): Promise<FakeAttempt> {
  const { request, ...call } = asked;
  const { definition } = request;
  const behave = world.fakes.step(definition.name) ?? (() => ({}));
  try {
    const given = await world.clock.hold(() =>
      behave({ ...call, inputs: { ...request.parameters, ...request.inputs } as never }),
    );
    const outcome: Partial<FakeOutcome> = isFakeOutcome(given) ? given : { outputs: given };
    const takesMs = parseDuration(outcome.takes ?? '0s');
    const timeout = request.options.timeout ?? definition.timeout;
    if (timeout !== undefined && takesMs > parseDuration(timeout))
      return {
        kind: 'failed',
        code: 'StepTimedOut',
        message: `Step "${call.name}" ran longer than its timeout of ${timeout}.`,
        takesMs: parseDuration(timeout),
      };
    if (!outcome.failure)
      return {
        kind: 'succeeded',
        outputs: makeUpOutputs(request, outcome.outputs ?? {}, world.misuse),
        takesMs,
      };
    const { code, message = `Step "${call.name}" failed: ${failureRow(code).summary}` } = outcome.failure;
    return { kind: 'failed', code, message, takesMs };
  } catch (error) {
    return world.misuse(error instanceof Error ? error : new Error(String(error)));
  }
}
