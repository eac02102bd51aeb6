import type { Worker } from '@temporalio/worker';

/** Workers that run and stop together. */
export class WorkerGroup {
  private readonly running = new Map<Worker, Promise<void>>();
  /** Rejects when a worker ends by an error. */
  readonly failed: Promise<never>;
  private fail: (error: unknown) => void = () => undefined;

  private readonly signal: AbortSignal;

  constructor(signal: AbortSignal) {
    this.signal = signal;
    this.failed = new Promise((_, reject) => {
      this.fail = reject;
    });
    this.failed.catch(() => undefined);
    signal.addEventListener('abort', () => this.shutdown(), { once: true });
  }

  add(worker: Worker): void {
    const run = worker.run();
    run.then(() => this.running.delete(worker), this.fail);
    this.running.set(worker, run);
    if (this.signal.aborted) this.retire(worker);
  }

  /** Lets one worker finish what it does and end. */
  retire(worker: Worker): void {
    if (worker.getState() === 'RUNNING') worker.shutdown();
  }

  async stop(): Promise<void> {
    this.shutdown();
    await Promise.allSettled(this.running.values());
  }

  private shutdown(): void {
    for (const worker of this.running.keys()) this.retire(worker);
  }
}
