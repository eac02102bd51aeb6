import { storeKeys } from '../core/artifact-store.js';
import { AnnealError } from '../core/failures.js';
import type { Journal } from '../core/journal.js';
import { didYouMean } from '../core/nearest-name.js';
import { JOURNAL_QUERY, seedOf, stepsOf, type RetryChoice } from '../core/run-control.js';
import type { ClientDeps } from './client-deps.js';
import { shellWord } from './run-id.js';
import { isOpen } from './run-state.js';
import { readStatus, type RunReport } from './read-status.js';
import type { DecisionSigner } from './sign-decision.js';
import { startRun, type StartedRun } from './start-run.js';

/** How a run is taken up again. */
export interface RetryOptions extends RetryChoice {
  /** `same`: the build of the first run. Default `new`: the one that is current. */
  readonly code?: 'same' | 'new';
  /** Default: the id of the first run with `.r2`, `.r3`, ... */
  readonly runId?: string;
  readonly startedBy?: string;
  /** What it may cost. Default: as much again as the first run. */
  readonly budget?: number;
  /** Signs the start as `startedBy`. */
  readonly signer?: DecisionSigner;
}

/** A run that takes up another one's work. */
export interface RetriedRun extends StartedRun {
  readonly retryOf: string;
  /** Answers that it takes over. */
  readonly adopted: number;
  /** The build of the first run, where this one is pinned to it. */
  readonly pinnedTo?: string;
}

/** Time that a worker has to answer with the journal of a run that has ended: it runs through its history first. */
const QUERY_TIMEOUT_MS = 60_000;
const NAMES_TRIED = 100;

/**
 * Starts a new run with the parameters of one that has ended, which takes up its finished work: every call with the same name and the same
 * inputs is answered with what the first run made.
 * @throws AnnealError RunNotFound; InvalidInput for a run that is open, one that completed where no step to begin from is named, or a step
 * that it did not finish; WorkerUnavailable where its journal is not in the store and nobody answers for it.
 */
export async function retryRun(
  deps: ClientDeps,
  runId: string,
  options: RetryOptions = {},
): Promise<RetriedRun> {
  const { code, startedBy, signer, ...choice } = options;
  const report = await readStatus(deps, runId);
  const budget = options.budget ?? report.budget?.limit;
  refuseOpen(report, options);
  const journal = await readJournal(deps, report);
  refuseUnknownStep(runId, journal, options.from);
  const of = { runId, executionId: report.executionId };
  const { decisions = [] } = report;
  const seed = seedOf(of, { journal, decisions }, choice);
  const start = {
    parameters: report.parameters,
    seed,
    ...(startedBy === undefined ? {} : { startedBy }),
    ...(signer === undefined ? {} : { signer }),
    ...(budget === undefined ? {} : { budget }),
    ...(code === 'same' && report.build !== '' ? { build: report.build } : {}),
  };
  const started = await startUnderNewName(deps, { pipeline: report.pipeline, first: runId, options }, start);
  const pinned = code === 'same' && report.build !== '' ? { pinnedTo: report.build } : {};
  return { ...started, retryOf: runId, adopted: seed.entries.length, ...pinned };
}

function refuseOpen({ runId, state }: RunReport, { from }: RetryOptions): void {
  if (isOpen(state))
    throw new AnnealError(
      'InvalidInput',
      `Run "${runId}" is ${state}; only one that has ended can be taken up again. Stop it with: anneal cancel ${shellWord(runId)}`,
    );
  if (from === undefined && (state === 'completed' || state === 'not-promoted'))
    throw new AnnealError(
      'InvalidInput',
      `Run "${runId}" is ${state}, so everything of it would be taken over. Say which step is to run again with --from STEP.`,
    );
}

function refuseUnknownStep(runId: string, journal: Journal, from: string | undefined): void {
  if (from === undefined) return;
  const steps = stepsOf(journal);
  if (steps.includes(from)) return;
  throw new AnnealError(
    'InvalidInput',
    `Run "${runId}" has not finished a step "${from}"; it finished ${steps.join(', ') || 'none'}.${didYouMean(from, steps)}`,
  );
}

async function readJournal(deps: ClientDeps, { runId, executionId }: RunReport): Promise<Journal> {
  const bytes = await deps.store?.readBytes(storeKeys.journal(executionId));
  if (bytes !== undefined) return JSON.parse(new TextDecoder().decode(bytes)) as Journal;
  try {
    const journal = await deps.temporal.withDeadline(deps.clock.nowMs() + QUERY_TIMEOUT_MS, () =>
      deps.temporal.workflow.getHandle(runId).query<Journal | null>(JOURNAL_QUERY),
    );
    return journal ?? { version: 1, entries: [], pending: {} };
  } catch (cause) {
    throw new AnnealError(
      'WorkerUnavailable',
      `The finished work of run "${runId}" is not in the store, and no worker of project "${deps.project}" answers for its build. Start one with "anneal up" and repeat the command.`,
      { cause },
    );
  }
}

async function startUnderNewName(
  deps: ClientDeps,
  {
    pipeline,
    first,
    options,
  }: { readonly pipeline: string; readonly first: string; readonly options: RetryOptions },
  start: Parameters<typeof startRun>[2],
): Promise<StartedRun> {
  if (options.runId !== undefined) return await startRun(deps, pipeline, { ...start, runId: options.runId });
  const [, base = first, number] = /^(.*)\.r(\d+)$/.exec(first) ?? [];
  for (let next = Number(number ?? 1) + 1; next <= NAMES_TRIED; next++) {
    try {
      return await startRun(deps, pipeline, { ...start, runId: `${base}.r${next}` });
    } catch (error) {
      if (!(error instanceof AnnealError) || error.code !== 'RunExists') throw error;
    }
  }
  throw new AnnealError(
    'RunExists',
    `Run "${first}" was taken up ${NAMES_TRIED} times; choose another --id.`,
  );
}
