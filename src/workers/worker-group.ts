import type { Worker } from '@temporalio/worker';

/** Workers that run and stop together. */
export class WorkerGroup {
  private readonly running: Promise<void>[] = [];
  private readonly workers: Worker[] = [];
  /** Rejects when a worker ends by an error. */
  readonly failed: Promise<never>;
  private fail: (error: unknown) => void = () => undefined;

  constructor(signal: AbortSignal) {
    this.failed = new Promise((_, reject) => {
      this.fail = reject;
    });
    this.failed.catch(() => undefined);
    signal.addEventListener('abort', () => this.shutdown(), { once: true });
  }

  async add(worker: Worker): Promise<void> {
    this.workers.push(worker);
    const run = worker.run();
    run.catch(this.fail);
    this.running.push(run);
    return await Promise.resolve();
  }

  async stop(): Promise<void> {
    this.shutdown();
    await Promise.allSettled(this.running);
  }

  private shutdown(): void {
    for (const worker of this.workers) if (worker.getState() === 'RUNNING') worker.shutdown();
  }
}
