import { pipelinesTaskQueue } from '../dist/core/run.js';
import { startRun } from './sample.js';
import type { BenchStack } from './stack.js';

/** Events of history that one more step in sequence adds. */
export async function countEventsPerStep({ client, config }: BenchStack, cached: boolean): Promise<number> {
  const lengthAfter = async (steps: number) => {
    const of = { taskQueue: pipelinesTaskQueue(config.project), args: [{ steps, cached }] };
    const handle = await startRun(client, 'chain', of);
    await handle.result();
    return (await handle.describe()).historyLength ?? NaN;
  };
  const [short, long] = [await lengthAfter(5), await lengthAfter(25)];
  return (long - short) / 20;
}
