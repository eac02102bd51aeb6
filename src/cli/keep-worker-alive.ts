import { setTimeout as delay } from 'node:timers/promises';

import { AnnealError } from '../core/failures.js';
import type { RunningWorker } from '../local/worker-process.js';
import type { LocalStack } from './context.js';

/** A worker that is started again when it dies. */
export interface WorkerKeeper {
  /** Rejects when the worker dies again and again. */
  readonly failed: Promise<never>;
  /** Puts a worker with the settings of now in its place; what it watched is adopted. */
  replace(): Promise<void>;
  /** The worker is left as it is and no longer started again. */
  stop(): void;
}

/** Deaths this soon after a start count as "does not start". */
const QUICK_MS = 10_000;
const QUICK_DEATHS = 3;
const POLL_MS = 500;

/** Starts the worker again whenever it ends without being told to; what it watched is adopted. */
export function keepWorkerAlive(options: {
  readonly stack: Pick<LocalStack, 'ensureWorker' | 'workerLogEnd' | 'workerProblem'>;
  readonly first: RunningWorker;
  readonly say: (text: string) => void;
  /** A worker that this keeper started. */
  readonly onStart: (worker: RunningWorker) => void;
}): WorkerKeeper {
  const { stack, say, onStart } = options;
  let stopped = false;
  let worker = options.first;
  let replacing: Promise<void> | undefined;
  // A worker of another command is not our child: its end is not told to us. One that was stopped on purpose is no problem.
  const untilDead = async () => {
    const watched = worker;
    while (!stopped && worker === watched && (await stack.workerProblem()) === undefined)
      await delay(POLL_MS, undefined, { ref: false });
    return 'it was started by another command';
  };
  const keep = async (): Promise<never> => {
    for (let quick = 0; ;) {
      const watched = worker;
      const startedAt = performance.now();
      const how = worker.exited === undefined ? await untilDead() : describeEnd(await worker.exited);
      await replacing;
      if (stopped) return await new Promise<never>(() => undefined);
      if (worker !== watched) continue;
      quick = performance.now() - startedAt < QUICK_MS ? quick + 1 : 0;
      if (quick >= QUICK_DEATHS)
        throw new AnnealError(
          'WorkerUnavailable',
          `The worker ended ${quick} times right after its start (${how}). Its log ends with:${await stack.workerLogEnd()}`,
        );
      say(`The worker ended (${how}); starting it again. Running steps go on and are adopted.`);
      // Another start with other settings may have put its own in this place: two must not replace each other for ever.
      worker = await stack.ensureWorker({ replace: false });
      onStart(worker);
    }
  };
  const failed = keep();
  // Whoever does not race with it any more must not hear of it.
  failed.catch(() => undefined);
  const replace = async (): Promise<void> => {
    const before = worker;
    const next = await stack.ensureWorker();
    worker = next;
    // One of ours in the place of one of ours is ours; in the place of somebody else's it stays when we go.
    const ours = before.started && before.replaced !== true;
    onStart(ours ? { ...next, replaced: false } : next);
  };
  return {
    failed,
    replace: async () => {
      replacing = replace().catch((error: unknown) =>
        say(
          `The worker could not be started again: ${error instanceof Error ? error.message : String(error)}`,
        ),
      );
      await replacing;
    },
    stop: () => {
      stopped = true;
    },
  };
}

function describeEnd({ code, signal }: Awaited<NonNullable<RunningWorker['exited']>>): string {
  return signal === null ? `exit code ${code}` : signal;
}
