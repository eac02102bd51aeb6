import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { AttemptOutcome, AttemptRequest } from '../../src/core/attempt.js';
import { isFailureCode } from '../../src/core/failures.js';
import type { RunStatus } from '../../src/core/run.js';
import type { StepDefinition } from '../../src/core/step.js';
import { registeredDefinitions } from '../../src/pipeline/registry.js';
import { createFakeSet, type FakeSet } from '../../src/testing/fake-set.js';
import { MadeUpRegistry } from '../../src/testing/made-up-registry.js';
import { fakeAttempt } from '../../src/testing/test-step.js';
import { VirtualClock } from '../../src/testing/virtual-clock.js';
import { startHarness, type Harness } from '../workflows/harness.js';
import { runContract, type Observed, type Scenario } from '../testing/contract.js';

const cli = process.env['ANNEAL_TEST_TEMPORAL'];
const skip = cli === undefined ? 'ANNEAL_TEST_TEMPORAL is not set' : false;

let h: Harness;
before(async () => {
  if (cli === undefined) return;
  const workflowsPath = fileURLToPath(new URL('../testing/contract-workflows.ts', import.meta.url));
  h = await startHarness(cli, { workflowsPath });
});
after(async () => {
  if (cli !== undefined) await h.close();
});

describe('a dev server keeps the contract of a run', { skip }, () => {
  runContract(async (scenario) => await runOnServer(h, scenario));
});

describe('a run that continues as new all the time keeps the contract of a run', { skip }, () => {
  runContract(async (scenario) => await runOnServer(h, scenario, { continueAfterEvents: 8 }));
});

/** Runs a scenario with the same fakes and the same made-up registry, everything else real. */
async function runOnServer(
  server: Harness,
  scenario: Scenario,
  snapshot: Harness['snapshot'] = {},
): Promise<Observed> {
  const fakes = createFakeSet(scenario.fakes ?? []);
  const registry = new MadeUpRegistry(scenario.champion ? { churn: scenario.champion } : {});
  server.attempts.length = 0;
  server.notifications.length = 0;
  server.snapshot = snapshot;
  server.task = async (name, input) => (await fakes.task(name)?.(input)) as never;
  server.champion = (name, alias) => registry.champion(name, alias);
  server.lane = ({ modelName, operation }) =>
    operation.kind === 'register'
      ? registry.register({
          name: modelName,
          model: operation.model,
          metrics: { values: operation.metrics } as never,
        })
      : operation.kind === 'promote'
        ? registry.promote(modelName, Number(operation.version), operation.alias)
        : { version: '' };
  server.script = async (request, signal) => await attemptOn(fakes, request, signal);
  const handle = await server.start(scenario.pipeline.pipelineName, scenario.parameters ?? {});
  const status = async () =>
    await server.client.workflow.getHandle(handle.workflowId).query<RunStatus>('status');
  const { decision } = scenario;
  if (decision) {
    const [open] = await until(async () => (await status()).approvals);
    await handle.signal('decide', { gate: open?.gate, digest: open?.digest, ...decision });
  }
  if (scenario.cancelled) {
    await until(() => server.attempts.filter(({ step }) => step === 'train'));
    await handle.cancel();
  }
  const result: unknown = await handle.result().catch(() => undefined);
  return await observe(server, { workflowId: handle.workflowId, result });
}

async function attemptOn(
  fakes: FakeSet,
  request: AttemptRequest,
  signal: AbortSignal,
): Promise<AttemptOutcome> {
  const { step, attempt, index, resources, parameters, inputs } = request;
  const definition = registeredDefinitions().steps.find(({ name }) => name === step) as StepDefinition;
  const clock = new VirtualClock(0);
  const asked = {
    name: step,
    attempt,
    index,
    resources,
    request: { definition, command: [], parameters, inputs, options: {} },
  };
  const outcome = await fakeAttempt({ fakes, clock, misuse: (error) => assert.fail(error) }, asked);
  if (outcome.takesMs > 0)
    await new Promise((_, reject) =>
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true }),
    );
  const common = { attemptName: `${step}-${attempt}`, startedAtMs: 0, endedAtMs: 1 };
  return outcome.kind === 'failed'
    ? { ...common, kind: 'failed', code: outcome.code, message: outcome.message, logTail: [] }
    : { ...common, kind: 'succeeded', outputs: outcome.outputs as never, parameters: {} };
}

async function observe(
  server: Harness,
  run: { readonly workflowId: string; readonly result: unknown },
): Promise<Observed> {
  const handle = server.client.workflow.getHandle(run.workflowId);
  const description = await handle.describe();
  const failure = await failureOf(handle.result());
  const attribute: unknown = description.searchAttributes['AnnealStatus']?.[0];
  const status = failure?.code === 'InvalidParameter' ? undefined : await handle.query<RunStatus>('status');
  const calls = status?.calls.filter(({ kind }) => kind === 'step') ?? [];
  return {
    state: status?.state ?? (description.status.name === 'FAILED' ? 'failed' : String(attribute)),
    result: run.result as never,
    code: failure?.code,
    message: failure?.message,
    steps: calls.map((call) => `${call.name}/${call.attempt}/${call.state}`),
    notifications: server.notifications.map((text) => text.replace(/ failed: [^|]*\|/, ' failed |')),
    memory: server.attempts.at(-1)?.resources.memory,
  };
}

async function failureOf(result: Promise<unknown>): Promise<Pick<Observed, 'code' | 'message'> | undefined> {
  try {
    await result;
    return undefined;
  } catch (error) {
    const { type, message } = (
      error as { readonly cause: { readonly type?: string; readonly message: string } }
    ).cause;
    return { code: isFailureCode(type) ? type : undefined, message };
  }
}

async function until<T>(probe: () => readonly T[] | Promise<readonly T[]>): Promise<readonly T[]> {
  const deadline = Date.now() + 20_000;
  for (;;) {
    const found = await probe();
    if (found.length > 0) return found;
    if (Date.now() > deadline) assert.fail('the condition did not come true in 20 s');
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
