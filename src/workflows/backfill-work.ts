import type {
  BackfillBatch,
  BackfillProgress,
  BackfillRange,
  BackfillState,
  EndedPartition,
  FailedPartition,
  PartitionPlan,
} from '../core/backfill.js';

/** A partition that is to be made next. */
export interface PlannedPartition extends PartitionPlan, Pick<BackfillBatch, 'again' | 'params'> {}

type Running = BackfillState['running'][number] & {
  readonly watched: boolean;
  /** The server knows the run: before, a request to cancel it would find nothing. */
  readonly confirmed: boolean;
};

/** What a backfill has to do, is doing and has done. */
export class BackfillWork {
  readonly state: BackfillState;
  /** Counts up with every change, so that the workflow can wait for one. */
  changes = 0;
  /** Children that the server has not confirmed yet: until then nothing continues as new. */
  starting = 0;
  private concurrency: number;
  private queue: BackfillBatch[];
  private next: PlannedPartition[] = [];
  private readonly running = new Map<string, Running>();
  private readonly askedToEnd = new Set<string>();
  private failed: FailedPartition[];
  private made: number;
  private skipped: number;
  private cancelled: number;
  private isPaused: boolean;
  private isCancelling: boolean;
  /** Keys that are asked of an activity right now. */
  private asked: BackfillBatch | undefined;

  constructor(state: BackfillState) {
    this.state = state;
    this.concurrency = state.concurrency;
    this.queue = [...state.queue];
    for (const run of state.running) this.running.set(run.runId, { ...run, watched: true, confirmed: true });
    this.failed = [...state.failed];
    this.made = state.made;
    this.skipped = state.skipped;
    this.cancelled = state.cancelled;
    this.isPaused = state.paused;
    this.isCancelling = state.cancelling;
  }

  get cancelling(): boolean {
    return this.isCancelling;
  }

  touch(): void {
    this.changes++;
  }

  /** Takes a range up; what waits or is under way already is left out. */
  add({ keys, again, params, concurrency }: BackfillRange): void {
    const known = new Set([...this.running.values(), ...this.next].map(({ key }) => key));
    for (const batch of [...this.queue, ...(this.asked === undefined ? [] : [this.asked])])
      for (const key of batch.keys) known.add(key);
    const fresh = [...new Set(keys)].filter((key) => !known.has(key));
    if (fresh.length > 0) this.queue.push({ keys: fresh, again, params });
    this.failed = this.failed.filter(({ key }) => !fresh.includes(key));
    if (concurrency !== undefined) this.concurrency = concurrency;
    this.touch();
  }

  pause(paused: boolean): void {
    this.isPaused = paused;
    this.touch();
  }

  cancel(): void {
    this.isCancelling = true;
    this.cancelled += this.next.length + countKeys(this.queue);
    this.next = [];
    this.queue = [];
    this.touch();
  }

  retryFailed(): void {
    const { failed } = this;
    this.failed = [];
    // One after the other, since each may have parameters of its own.
    for (const { key, params } of failed) this.enqueue({ keys: [key], again: true, params });
    this.touch();
  }

  private enqueue(batch: BackfillBatch): void {
    const last = this.queue.at(-1);
    if (last?.again === batch.again && JSON.stringify(last.params) === JSON.stringify(batch.params))
      this.queue[this.queue.length - 1] = { ...last, keys: [...last.keys, ...batch.keys] };
    else this.queue.push(batch);
  }

  mayStart(): boolean {
    return (
      !this.isPaused && !this.isCancelling && this.next.length > 0 && this.running.size < this.concurrency
    );
  }

  takePlanned(): PlannedPartition {
    const partition = this.next.shift();
    if (partition === undefined) throw new Error('nothing is planned');
    return partition;
  }

  wantsPlan(): boolean {
    return (
      !this.isPaused && !this.isCancelling && this.queue.length > 0 && this.next.length < this.concurrency
    );
  }

  /** The next keys of one range. */
  takeBatch(atMost: number): BackfillBatch | undefined {
    const batch = this.queue.shift();
    if (batch === undefined) return undefined;
    const rest = batch.keys.slice(atMost);
    if (rest.length > 0) this.queue.unshift({ ...batch, keys: rest });
    this.asked = { ...batch, keys: batch.keys.slice(0, atMost) };
    return this.asked;
  }

  planned(plans: readonly PartitionPlan[], { again, params }: BackfillBatch): void {
    this.asked = undefined;
    for (const plan of plans) {
      if (plan.action === 'skip') this.skipped++;
      else if (this.isCancelling) this.cancelled++;
      else this.next.push({ ...plan, again, params });
    }
    this.touch();
  }

  /** Its run id was taken meanwhile. */
  planAgain({ key, runId, again, params }: PlannedPartition): void {
    this.running.delete(runId);
    // Nothing is planned any more by one that is being cancelled.
    if (this.isCancelling) this.cancelled++;
    else this.queue.unshift({ keys: [key], again, params });
    this.touch();
  }

  begin({ key, runId, params }: PlannedPartition, { watched }: { readonly watched: boolean }): void {
    this.running.set(runId, { key, runId, params, watched, confirmed: watched });
    this.touch();
  }

  /** The server has started it. */
  confirm(runId: string): void {
    const run = this.running.get(runId);
    if (run !== undefined) this.running.set(runId, { ...run, confirmed: true });
    this.touch();
  }

  end({ runId, code }: EndedPartition): void {
    const run = this.running.get(runId);
    if (run === undefined) return;
    this.running.delete(runId);
    this.askedToEnd.delete(runId);
    const { key, params } = run;
    if (code === undefined) this.made++;
    else if (code === 'cancelled' && this.isCancelling) this.cancelled++;
    else this.failed.push({ key, runId, params, code: code === 'cancelled' ? 'Unknown' : code });
    this.touch();
  }

  /** Runs whose end the server does not tell this execution. */
  watched(): readonly string[] {
    return [...this.running.values()].flatMap(({ watched, runId }) => (watched ? [runId] : []));
  }

  takeToCancel(): readonly string[] {
    const runIds = [...this.running.values()].flatMap(({ runId, confirmed }) =>
      confirmed && !this.askedToEnd.has(runId) ? [runId] : [],
    );
    for (const runId of runIds) this.askedToEnd.add(runId);
    return runIds;
  }

  isDone(): boolean {
    return this.queue.length === 0 && this.next.length === 0 && this.running.size === 0;
  }

  progress(): BackfillProgress {
    const { pipeline, startedAtMs } = this.state;
    const waiting = this.next.length + countKeys(this.queue) + (this.asked?.keys.length ?? 0);
    const { made, skipped, cancelled, concurrency, failed } = this;
    const running = [...this.running.values()].map(({ key, runId }) => ({ key, runId }));
    return {
      ...{ pipeline, state: this.shownState(), made, skipped, waiting, cancelled, concurrency },
      total: made + skipped + waiting + cancelled + running.length + failed.length,
      ...{ running, failed, startedAtMs },
    };
  }

  private shownState(): BackfillProgress['state'] {
    if (this.isDone() && this.asked === undefined) return this.isCancelling ? 'cancelled' : 'completed';
    if (this.isCancelling) return 'cancelling';
    return this.isPaused ? 'paused' : 'running';
  }

  /** What the next execution starts from. What is planned is planned again, with the code of then. */
  carried(): BackfillState {
    const planned = this.next.map(({ key, again, params }): BackfillBatch => ({
      keys: [key],
      again,
      params,
    }));
    const merged = new BackfillWork({ ...this.state, queue: [], running: [], failed: [] });
    for (const batch of [...planned, ...this.queue]) merged.enqueue(batch);
    return {
      ...this.state,
      ...{ concurrency: this.concurrency, queue: merged.queue, failed: this.failed, made: this.made },
      running: [...this.running.values()].map(({ key, runId, params }) => ({ key, runId, params })),
      ...{ skipped: this.skipped, cancelled: this.cancelled, paused: this.isPaused },
      cancelling: this.isCancelling,
    };
  }
}

function countKeys(batches: readonly BackfillBatch[]): number {
  return batches.reduce((sum, { keys }) => sum + keys.length, 0);
}
