import { randomUUID } from 'node:crypto';
import type { Client, WorkflowHandle } from '@temporalio/client';

/** Times of one kind of run, in milliseconds a step. */
export interface Sample {
  readonly min: number;
  readonly median: number;
  readonly values: readonly number[];
}

/** One kind of run to time. */
export interface Contender {
  readonly name: string;
  readonly steps: number;
  readonly run: () => Promise<void>;
}

/** Runs the contenders in turn, `rounds` times, each round in the other direction, so that what else the machine does hits all. */
export async function interleave(
  contenders: readonly Contender[],
  rounds: number,
): Promise<ReadonlyMap<string, Sample>> {
  const values = new Map<string, number[]>(contenders.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    const order = round % 2 === 0 ? contenders : [...contenders].reverse();
    for (const { name, steps, run } of order) {
      const startedAt = performance.now();
      await run();
      values.get(name)?.push((performance.now() - startedAt) / steps);
    }
  }
  return new Map([...values].map(([name, of]) => [name, toSample(of)]));
}

/** Smallest and middle of some figures. */
export function toSample(values: readonly number[]): Sample {
  const sorted = [...values].sort((a, b) => a - b);
  return { min: sorted[0] ?? NaN, median: sorted[Math.floor(sorted.length / 2)] ?? NaN, values };
}

/** Starts a run under an id that nobody else has. */
export async function startRun(
  client: Client,
  type: string,
  { taskQueue, args }: { readonly taskQueue: string; readonly args: readonly unknown[] },
): Promise<WorkflowHandle> {
  return await client.workflow.start(type, {
    taskQueue,
    workflowId: `${type}-${randomUUID()}`,
    args: [...args],
  });
}
