import { formatCost } from './cost.js';
import { shellWord } from './shell-word.js';

/** Memo of a run: the budget it was started with, in place of its pipeline's; what a parent gives to a sub-pipeline is the most it may have. */
export const BUDGET_MEMO = 'anneal.budget';
/** Update of a run with a {@link BudgetChange}. */
export const SET_BUDGET = 'set-budget';
/** Signal of a pool's worker with an {@link AttemptBegan}, to runs that have a budget. */
export const ATTEMPT_BEGAN = 'attempt-began';
/** Share of a budget at which people are told. */
const WARN_SHARE = 0.8;
const LARGEST = 1e12;
const HOUR_MS = 3_600_000;

/** Argument of update {@link SET_BUDGET}. */
export interface BudgetChange {
  readonly budget: number;
  readonly by: string;
}

/** An attempt runs, and so costs, since then. What waits for a place costs nothing. */
export interface AttemptBegan {
  readonly callId: string;
  readonly attempt: number;
  readonly startedAtMs: number;
}

/** What a run may cost and has cost, at one moment. */
export interface BudgetStatus {
  readonly limit: number;
  /** Of attempts that have ended and of those that run, until `atMs`. */
  readonly spent: number;
  /** What the attempts that run add each hour. */
  readonly perHour: number;
  readonly atMs: number;
  /** When people were told that it is nearly spent. */
  readonly warnedAtMs?: number;
}

/** What is to be done about a budget, and when to look again while nothing changes. */
export type BudgetVerdict = {
  readonly say: 'nothing' | 'nearly-spent' | 'spent';
  readonly lookInMs?: number;
};

/** Judges a budget: nearly spent from 80 % on, spent from all of it on. */
export function judgeBudget({ limit, spent, perHour, warnedAtMs }: BudgetStatus): BudgetVerdict {
  if (reaches(spent, limit)) return { say: 'spent' };
  const isNear = reaches(spent, limit * WARN_SHARE);
  const next = isNear || warnedAtMs !== undefined ? limit : limit * WARN_SHARE;
  return {
    say: isNear && warnedAtMs === undefined ? 'nearly-spent' : 'nothing',
    ...(perHour > 0 && { lookInMs: Math.ceil(((next - spent) / perHour) * HOUR_MS) }),
  };
}

/** Sums of fractions miss what they should reach by the noise of binary numbers. */
function reaches(spent: number, threshold: number): boolean {
  return spent >= threshold - threshold * 1e-9;
}

/** What a sub-pipeline may cost; nothing left is next to nothing, as a budget is more than that. */
export function leftOf({ limit, spent }: BudgetStatus): number {
  return Math.max(limit - spent, limit * 1e-6);
}

/** What is wrong with an amount, or undefined. */
export function budgetProblem(amount: unknown): string | undefined {
  return typeof amount === 'number' && amount > 0 && amount <= LARGEST
    ? undefined
    : `A budget is a number above 0, in the currency of the pools' pricePerHour; it is ${JSON.stringify(amount) ?? 'nothing'}.`;
}

/** The budget of a run: what it was started with, else its pipeline's; of a sub-pipeline at most what its parent has left. */
export function budgetAtStart(memo: unknown, ofPipeline: number | undefined): number | undefined {
  if (budgetProblem(memo) === undefined) return memo as number;
  const atMost = typeof memo === 'object' && memo !== null && 'atMost' in memo ? memo.atMost : undefined;
  if (budgetProblem(atMost) !== undefined) return ofPipeline;
  return Math.min(atMost as number, ofPipeline ?? Infinity);
}

/** What people are told at 80 %. */
export function explainNearlySpent({ limit, spent, perHour }: BudgetStatus, runId: string): string {
  const left = perHour > 0 ? `; ${formatCost(perHour)} an hour are added by what runs now` : '';
  return `The run has cost ${formatCost(spent)} of its budget of ${formatCost(limit)}${left}. What would cost more than that is stopped, and the run fails. Raise the budget with: npx anneal set ${shellWord(runId)} --budget ${formatCost(limit * 2)}`;
}

/** Why a run was stopped. */
export function explainSpent({ limit, spent }: BudgetStatus, runId: string): string {
  return `The run has cost ${formatCost(spent)}, all of its budget of ${formatCost(limit)}; what ran was stopped, after its checkpoints. Go on from there with: npx anneal retry ${shellWord(runId)} --budget ${formatCost(limit * 2)}`;
}
