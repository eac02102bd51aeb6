import {
  CancellationScope,
  defineSignal,
  defineUpdate,
  setHandler,
  sleep,
  workflowInfo,
  type ApplicationFailure,
} from '@temporalio/workflow';
import {
  ATTEMPT_BEGAN,
  BUDGET_MEMO,
  budgetAtStart,
  budgetProblem,
  explainSpent,
  judgeBudget,
  SET_BUDGET,
  type AttemptBegan,
  type BudgetChange,
  type BudgetStatus,
} from '../core/budget.js';
import { addCost, costOfAttempt, formatCost } from '../core/cost.js';
import { problemOfControl } from '../core/run-control.js';
import { toFailure } from './failures.js';

/** The budget as a run hands it to its next execution. */
export interface CarriedBudget {
  readonly limit: number;
  readonly warnedAtMs?: number;
}

/** The run that has a budget. */
export interface BudgetOwner {
  /** What its attempts that have ended cost. */
  readonly spent: () => number;
  /** What is shown has changed. */
  readonly changed: () => void;
  /** It is nearly spent: people are to be told. */
  readonly warn: (status: BudgetStatus) => Promise<void>;
}

interface PricedAttempt {
  readonly attempt: number;
  readonly pricePerHour: number;
  readonly askedAtMs: number;
  /** Absent: it waits for a place, as far as is known. */
  sinceMs?: number;
}

/** Times between two looks at least: what an attempt costs in so short a time does not matter, and each look is in the history. */
const SHORTEST_LOOK_MS = 100;

/**
 * What a run may cost. Attempts on pools with a price are followed from when their worker says that they run; one timer at most is open, and
 * none where there is no budget.
 */
export class RunBudget {
  private readonly owner: BudgetOwner;
  private readonly scope = CancellationScope.current();
  private readonly running = new Map<string, PricedAttempt>();
  private limit: number | undefined;
  private warnedAtMs: number | undefined;
  private warning: Promise<void> | undefined;
  private timer: { readonly atMs: number; readonly scope: CancellationScope } | undefined;
  private judging = false;
  private begun = false;
  private failure: ApplicationFailure | undefined;
  private stop: ((failure: ApplicationFailure) => void) | undefined;

  constructor(
    owner: BudgetOwner,
    start: { readonly ofPipeline: number | undefined; readonly carried: CarriedBudget | undefined },
  ) {
    this.owner = owner;
    this.limit = start.carried?.limit ?? budgetAtStart(workflowInfo().memo?.[BUDGET_MEMO], start.ofPipeline);
    this.warnedAtMs = start.carried?.warnedAtMs;
  }

  /** Undefined where there is no budget. */
  get status(): BudgetStatus | undefined {
    if (this.limit === undefined) return undefined;
    const atMs = Date.now();
    let spent = this.owner.spent();
    let perHour = 0;
    for (const { sinceMs, pricePerHour } of this.running.values()) {
      if (sinceMs === undefined) continue;
      perHour = addCost(perHour, pricePerHour);
      spent = addCost(spent, costOfAttempt({ pricePerHour }, { startedAtMs: sinceMs, endedAtMs: atMs }) ?? 0);
    }
    const warned = this.warnedAtMs === undefined ? {} : { warnedAtMs: this.warnedAtMs };
    return { limit: this.limit, spent, perHour, atMs, ...warned };
  }

  /** Why the run was stopped. */
  get exceeded(): ApplicationFailure | undefined {
    return this.failure;
  }

  /** Calls back when the run is to be stopped. */
  onExceeded(stop: (failure: ApplicationFailure) => void): void {
    this.stop = stop;
    if (this.failure) stop(this.failure);
  }

  carried(): CarriedBudget | undefined {
    if (this.limit === undefined) return undefined;
    return { limit: this.limit, ...(this.warnedAtMs === undefined ? {} : { warnedAtMs: this.warnedAtMs }) };
  }

  /** Whether the worker of an attempt is to say when it runs. */
  follows({ pricePerHour = 0 }: { readonly pricePerHour?: number }): boolean {
    return this.limit !== undefined && pricePerHour > 0;
  }

  /** Refuses an attempt that would cost something when everything is spent: that stops the run. @throws BudgetExceeded */
  admit(pool: { readonly pricePerHour?: number }): void {
    const { status } = this;
    if (status && this.follows(pool) && judgeBudget(status).say === 'spent') throw this.exceed(status);
  }

  /**
   * An attempt is asked for. @returns what takes it off the list, and answers since when it cost something; undefined: it never did, as far
   * as is known.
   */
  began(
    callId: string,
    attempt: { readonly attempt: number; readonly pricePerHour?: number; readonly followed: boolean },
  ): () => number | undefined {
    const { pricePerHour = 0, followed } = attempt;
    const askedAtMs = Date.now();
    if (pricePerHour === 0) return () => askedAtMs;
    const entry: PricedAttempt = { attempt: attempt.attempt, pricePerHour, askedAtMs };
    // A budget that is set later counts it from here, unless who sets it says when it began.
    if (!followed) entry.sinceMs = askedAtMs;
    this.running.set(callId, entry);
    return () => {
      this.running.delete(callId);
      return entry.sinceMs;
    };
  }

  /** Takes the signal of workers and the update of operators. */
  handle(): void {
    setHandler(
      defineSignal<[AttemptBegan]>(ATTEMPT_BEGAN),
      ({ callId, attempt, startedAtMs }) => {
        const entry = this.running.get(callId);
        if (entry?.attempt !== attempt) return;
        // The clock of another machine is only believed where it can be right.
        entry.sinceMs = Math.min(Math.max(startedAtMs, entry.askedAtMs), Date.now());
        this.judgeSoon();
      },
      { description: 'Sent by workers where the run has a budget: an attempt runs' },
    );
    setHandler(
      defineUpdate<BudgetStatus, [BudgetChange]>(SET_BUDGET),
      ({ budget }) => {
        this.limit = budget;
        this.warnedAtMs = undefined;
        this.owner.changed();
        this.judgeSoon();
        return this.status as BudgetStatus;
      },
      {
        description: 'What the run may cost: {"budget","by"}',
        validator: (change) => {
          const problem = this.problemOf(change);
          if (problem !== undefined) throw toFailure('InvalidInput', problem);
        },
      },
    );
  }

  /** Resolves when people have been told what they are being told. */
  async told(): Promise<void> {
    await this.warning;
  }

  private problemOf(change: BudgetChange): string | undefined {
    const problem = problemOfControl(change) ?? budgetProblem(change.budget);
    if (problem !== undefined) return problem;
    if (this.failure)
      return 'The run has been stopped, as its budget was spent. Take up its work with anneal retry RUN --budget N.';
    const spent = this.status?.spent ?? this.owner.spent();
    return change.budget > spent
      ? undefined
      : `The run has cost ${formatCost(spent)} already; its budget must be more than that. Stop it with anneal cancel.`;
  }

  /** The run can tell people from now on. */
  begin(): void {
    this.begun = true;
    this.judgeSoon();
  }

  /** Looks at what has been spent: once for everything that changes in one go. */
  judgeSoon(): void {
    if (!this.begun || this.judging || this.limit === undefined) return;
    this.judging = true;
    void Promise.resolve().then(() => {
      this.judging = false;
      this.judge();
    });
  }

  private judge(): void {
    const { status } = this;
    if (!status || this.failure) return;
    const { say, lookInMs } = judgeBudget(status);
    // A run over its budget that only waits for people, or registers its model, comes to its end.
    if (say === 'spent' && status.perHour > 0) return void this.exceed(status);
    if (say !== 'nothing' && status.warnedAtMs === undefined) {
      this.warnedAtMs = status.atMs;
      this.owner.changed();
      this.warning = Promise.all([
        this.warning,
        // A run that is cancelled meanwhile comes to its end all the same.
        this.scope.run(
          async () => await CancellationScope.nonCancellable(async () => await this.owner.warn(status)),
        ),
      ]).then(() => undefined);
      return this.judge();
    }
    if (lookInMs !== undefined) this.lookIn(Math.max(lookInMs, SHORTEST_LOOK_MS));
  }

  /** A timer that is open and ends before is left: each one costs history. */
  private lookIn(ms: number): void {
    const atMs = Date.now() + ms;
    if (this.timer && this.timer.atMs <= atMs) return;
    this.timer?.scope.cancel();
    const scope = new CancellationScope({ cancellable: true, parent: this.scope });
    this.timer = { atMs, scope };
    const look = () => {
      if (this.timer?.scope !== scope) return;
      this.timer = undefined;
      this.judge();
    };
    scope.run(async () => await sleep(ms, { summary: 'budget' })).then(look, () => undefined);
  }

  private exceed(status: BudgetStatus): ApplicationFailure {
    if (this.failure) return this.failure;
    const failure = toFailure('BudgetExceeded', explainSpent(status, workflowInfo().workflowId));
    this.failure = failure;
    this.timer?.scope.cancel();
    this.timer = undefined;
    this.stop?.(failure);
    return failure;
  }
}
