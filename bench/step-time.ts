import { pipelinesTaskQueue } from '../dist/core/run.js';
import { interleave, startRun, type Contender, type Sample } from './sample.js';
import type { BenchStack } from './stack.js';

/** How much is run. */
export interface StepTimeOptions {
  readonly rounds: number;
  /** Steps of the long chain. */
  readonly longSteps: number;
}

/** Milliseconds a step by kind of run; `t0` is the hand-written loop. */
export interface StepTimes {
  readonly t0: Sample;
  /** T0 with a local activity before each step. */
  readonly t0LookUp: Sample;
  readonly uncached: Sample;
  readonly cacheable: Sample;
  readonly t0FanOut: Sample;
  readonly fanOut: Sample;
  /** A run of one step, from start to result: what a run costs beside its steps. */
  readonly t0One: Sample;
  readonly one: Sample;
  /** The long chain, once. */
  readonly long: { readonly steps: number; readonly ms: number; readonly executions: number };
}

const STEPS = 100;

/** Times no-op steps against T0 in the same run, interleaved. */
export async function measureStepTimes(stack: BenchStack, options: StepTimeOptions): Promise<StepTimes> {
  const { client, config } = stack;
  const anneal = (pipeline: string, parameters: { readonly steps: number; readonly cached?: boolean }) => {
    const of = { taskQueue: pipelinesTaskQueue(config.project), args: [parameters] };
    return async () => void (await (await startRun(client, pipeline, of)).result());
  };
  const baseline = (type: string, steps = STEPS) => {
    const of = { taskQueue: 'baseline/flows', args: [steps] };
    return async () => void (await (await startRun(client, type, of)).result());
  };
  const contender = (name: string, run: () => Promise<void>): Contender => ({ name, steps: STEPS, run });
  const chains = [
    contender('t0', baseline('baselineChain')),
    contender('t0LookUp', baseline('baselineLookUpChain')),
    contender('uncached', anneal('chain', { steps: STEPS })),
    contender('cacheable', anneal('chain', { steps: STEPS, cached: true })),
  ];
  const fanOuts = [
    contender('t0FanOut', baseline('baselineFanOut')),
    contender('fanOut', anneal('fan-out', { steps: STEPS })),
  ];
  const single = [
    { name: 't0One', steps: 1, run: baseline('baselineChain', 1) },
    { name: 'one', steps: 1, run: anneal('chain', { steps: 1 }) },
  ];
  await interleave([...chains, ...fanOuts, ...single], 1);
  const times = new Map([
    ...(await interleave(chains, options.rounds)),
    ...(await interleave(fanOuts, options.rounds * 2)),
    ...(await interleave(single, options.rounds * 4)),
  ]);
  const sample = (name: string): Sample => times.get(name) ?? { min: NaN, median: NaN, values: [] };
  return {
    t0: sample('t0'),
    t0LookUp: sample('t0LookUp'),
    uncached: sample('uncached'),
    cacheable: sample('cacheable'),
    t0FanOut: sample('t0FanOut'),
    fanOut: sample('fanOut'),
    t0One: sample('t0One'),
    one: sample('one'),
    long: await timeLongChain(stack, options.longSteps),
  };
}

async function timeLongChain({ client, config }: BenchStack, steps: number): Promise<StepTimes['long']> {
  const of = { taskQueue: pipelinesTaskQueue(config.project), args: [{ steps }] };
  const startedAt = performance.now();
  const handle = await startRun(client, 'chain', of);
  await handle.result();
  const ms = (performance.now() - startedAt) / steps;
  const status = await handle.query<{ readonly continuations: number }>('status');
  return { steps, ms, executions: status.continuations + 1 };
}
