import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FailureCode } from '../../src/core/failures.js';
import type { Json } from '../../src/core/json.js';
import type { Pool } from '../../src/core/pools.js';
import type { Pipeline } from '../../src/pipeline/index.js';
import {
  approve,
  fail,
  failTimes,
  fakeStep,
  fakeTask,
  reject,
  succeed,
  type Decision,
  type Fake,
} from '../../src/testing/index.js';
import {
  asks,
  careless,
  catcher,
  double,
  fan,
  gate,
  hungry,
  make,
  memory,
  outer,
  race,
  thrower,
  tooBig,
  train,
} from './contract-pipelines.js';

/** A pipeline, what surrounds it, and what must come of it wherever it runs. */
export interface Scenario {
  readonly title: string;
  readonly pipeline: Pipeline<never, unknown>;
  readonly parameters?: { readonly [name: string]: Json };
  readonly fakes?: readonly Fake[];
  readonly decision?: Decision;
  readonly champion?: { readonly version: number; readonly metrics: { readonly [name: string]: number } };
  /** Cancelled while its first step, which takes an hour, runs. */
  readonly cancelled?: boolean;
  readonly expect: Expected;
}

/** What is observed of a run; members that a scenario does not name are not compared. */
export interface Observed {
  readonly state: string;
  readonly result?: Json | undefined;
  readonly code?: FailureCode | undefined;
  readonly message?: string | undefined;
  /** Steps as `name/attempts/state`, in the order in which they were called. */
  readonly steps: readonly string[];
  /** Messages as `subject | text`. */
  readonly notifications: readonly string[];
  /** Memory that the last attempt asked for. */
  readonly memory: string | undefined;
}

type Expected = Omit<Partial<Observed>, 'message'> & { readonly message?: RegExp };

/** The pools of both worlds. */
export const POOLS: readonly Pool[] = [
  {
    name: 'cpu',
    executor: 'process',
    taskQueue: 'test/cpu@here',
    controlQueue: 'test/cpu@here',
    cpu: 4,
    memory: '8Gi',
    gpu: 0,
    gpuOptional: true,
  },
];

const good = fakeStep(train, { score: { f1: 0.9, kind: 'forest' } });
const doubling = fakeTask(double, ({ n }) => ({ n: 2 * n }));

const scenarios: readonly Scenario[] = [
  {
    title: 'a run fills in defaults, registers, promotes, and replaces the champion',
    pipeline: gate,
    fakes: [good],
    champion: { version: 6, metrics: { f1: 0.8 } },
    expect: {
      state: 'completed',
      result: { promoted: true, version: 7, replaced: 6, before: { f1: 0.8 } },
      steps: ['make/1/succeeded', 'train/1/succeeded'],
      notifications: [],
    },
  },
  {
    title: 'a run that returns promoted: false is not promoted and tells people',
    pipeline: gate,
    parameters: { threshold: 0.95 },
    fakes: [good],
    champion: { version: 6, metrics: {} },
    expect: {
      state: 'not-promoted',
      result: { promoted: false, f1: 0.9 },
      notifications: ['0.9 is too low | 6'],
    },
  },
  {
    title: 'bad parameters fail at once, each by name',
    pipeline: gate,
    parameters: { threshold: 7, table: 'c', extra: 1 },
    expect: {
      state: 'failed',
      code: 'InvalidParameter',
      message:
        /no parameter "extra".* "threshold" of pipeline "gate" is 7; it must be a number from 0 to 1.*one of "a", "b"/,
      steps: [],
    },
  },
  {
    title: 'a step that fits no pool is refused with the nearest',
    pipeline: tooBig,
    expect: {
      state: 'failed',
      code: 'NoPoolFits',
      message: /nearest is "cpu" \(512Gi of memory asked, 8Gi offered\)/,
    },
  },
  {
    title: 'a step that is called without an input is refused with a code, and the run fails with it',
    pipeline: careless,
    expect: {
      state: 'failed',
      code: 'InvalidInput',
      message: /^Step "train" needs input "data" \(a Dataset\); the call does not pass it\.$/,
      steps: ['make/1/succeeded'],
    },
  },
  {
    title: 'an error of the pipeline fails the run and tells people',
    pipeline: thrower,
    expect: {
      state: 'failed',
      code: 'PipelineError',
      message: /^RangeError: off by one$/,
      steps: ['make/1/succeeded'],
      notifications: ['thrower failed | PipelineError: RangeError: off by one'],
    },
  },
  {
    title: 'a step that fails twice succeeds at its third attempt',
    pipeline: gate,
    fakes: [fakeStep(train, failTimes(2, 'StepFailed', { score: { f1: 0.9, kind: 'forest' } }))],
    expect: { state: 'completed', steps: ['make/1/succeeded', 'train/3/succeeded'] },
  },
  {
    title: 'a step fails when its attempts are spent',
    pipeline: gate,
    fakes: [fakeStep(train, fail('StepFailed', { message: 'Step "train" ended with exit code 1.' }))],
    expect: {
      state: 'failed',
      code: 'StepFailed',
      message: /^Step "train" ended with exit code 1\. Not retried: all 3 attempts failed\.$/,
      steps: ['make/1/succeeded', 'train/3/failed'],
    },
  },
  {
    title: 'a step that refuses its input is not tried again',
    pipeline: gate,
    fakes: [fakeStep(train, fail('StepRefused'))],
    expect: {
      state: 'failed',
      code: 'StepRefused',
      message: /Not retried: the same input would fail again/,
      steps: ['make/1/succeeded', 'train/1/failed'],
    },
  },
  {
    title: 'a lost attempt spends another budget than the step’s own',
    pipeline: gate,
    fakes: [
      fakeStep(train, ({ attempt }) =>
        attempt === 1
          ? fail('AttemptLost')
          : attempt < 4
            ? fail('StepFailed')
            : { score: { f1: 0.9, kind: 'x' } },
      ),
    ],
    expect: { state: 'completed', steps: ['make/1/succeeded', 'train/4/succeeded'] },
  },
  {
    title: 'memory grows after each attempt that ran out of it, up to the limit',
    pipeline: memory,
    fakes: [fakeStep(hungry, fail('OutOfMemory'))],
    expect: { state: 'failed', code: 'OutOfMemory', steps: ['hungry/4/failed'], memory: '6Gi' },
  },
  {
    title: 'a failure can be caught by its code, and finally runs',
    pipeline: catcher,
    fakes: [fakeStep(train, fail('StepRefused'))],
    expect: {
      state: 'completed',
      result: 'StepRefused',
      steps: ['make/1/succeeded', 'train/1/failed', 'make/1/succeeded'],
    },
  },
  {
    title: 'a fan-out tolerates as many failures as it says',
    pipeline: fan,
    fakes: [doubling, fakeStep(make, ({ inputs }) => (inputs.n === 3 ? fail('StepFailed') : {}))],
    expect: { state: 'completed', result: [2, 4, 'StepFailed', 8] },
  },
  {
    title: 'a fan-out with more failures fails',
    pipeline: fan,
    parameters: { tolerate: 0 },
    fakes: [doubling, fakeStep(make, ({ inputs }) => (inputs.n === 1 ? fail('StepFailed') : {}))],
    expect: { state: 'failed', code: 'StepFailed' },
  },
  { title: 'the shorter sleep wins', pipeline: race, expect: { state: 'completed', result: 'short' } },
  {
    title: 'an approval answers with who decided and why',
    pipeline: asks,
    decision: approve('ana', { comment: 'fine' }),
    expect: { state: 'completed', result: { by: 'ana', comment: 'fine' } },
  },
  {
    title: 'a rejection fails the run with its reason',
    pipeline: asks,
    decision: reject('bo', { comment: 'drift' }),
    expect: {
      state: 'failed',
      code: 'ApprovalRejected',
      message: /^Approval "go-live" was rejected by bo: drift\.$/,
    },
  },
  {
    title: 'an approval expires',
    pipeline: asks,
    parameters: { expires: '200ms' },
    expect: {
      state: 'failed',
      code: 'ApprovalExpired',
      message: /^Approval "go-live" expired without a decision/,
    },
  },
  {
    title: 'sub-pipelines give results and failures by code',
    pipeline: outer,
    fakes: [good],
    expect: { state: 'completed', result: { inner: true, caught: 'PipelineError' }, steps: [] },
  },
  {
    title: 'a cancelled run stops its step, starts nothing else, and cleans up',
    pipeline: catcher,
    fakes: [fakeStep(train, succeed({}, { takes: '1h' }))],
    cancelled: true,
    expect: { state: 'cancelled', steps: ['make/1/succeeded', 'train/1/cancelled', 'make/1/succeeded'] },
  },
];

/** The contract of a place where pipelines run: the testing kit keeps it, and so does the dev server. */
export function runContract(run: (scenario: Scenario) => Promise<Observed>): void {
  for (const scenario of scenarios) {
    test(scenario.title, async () => {
      const observed = await run(scenario);
      const { message, ...expected } = scenario.expect;
      for (const [member, value] of Object.entries(expected))
        assert.deepEqual(
          observed[member as keyof Observed],
          value,
          `${member} of ${JSON.stringify(observed)}`,
        );
      if (message) assert.match(observed.message ?? '', message);
    });
  }
}
