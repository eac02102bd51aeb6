import { open, type FileHandle } from 'node:fs/promises';
import type { ArtifactStore } from '../core/artifact-store.js';
import { storeKeys } from '../core/artifact-store.js';
import { AnnealError } from '../core/failures.js';
import { didYouMean } from '../core/nearest-name.js';
import type { CallStatus } from '../core/run.js';
import type { ClientDeps } from './client-deps.js';
import {
  attemptsUpTo,
  createLaunchFinder,
  findLiveAttempt,
  liveLogFile,
  type LaunchFinder,
} from './live-attempts.js';
import { createPodLogReader, type PodLogReader } from './pod-log.js';
import { rebuildStatus } from './rebuild-status.js';
import { readStatus, type RunReport } from './read-status.js';
import { isOpen } from './run-state.js';
import { watchRun } from './watch-run.js';

/** Whose log is read, and for how long. */
export interface LogsOptions {
  /** Only calls of this name, or the call with this id. */
  readonly step?: string;
  /** Goes on until the run has ended. */
  readonly follow?: boolean;
  readonly signal?: AbortSignal;
}

/** A piece of the output of one attempt, in order; never half a character. */
export interface LogChunk {
  readonly step: string;
  readonly callId: string;
  readonly attempt: number;
  readonly text: string;
}

const POLL_MS = 400;
const CHUNK_BYTES = 256 * 1024;

/**
 * What the steps of a run print. While an attempt runs its file on this machine is read, or the pieces that its pods store, afterwards the
 * whole log in the store, from the byte on where that was left: nothing is missing or there twice.
 * @throws AnnealError RunNotFound, InvalidInput for a step that the run does not have, ServerUnreachable.
 */
export async function* readLogs(
  deps: ClientDeps,
  runId: string,
  options: LogsOptions = {},
): AsyncGenerator<LogChunk> {
  const tails = new Map<string, AttemptTail>();
  const listed = listedStore(deps.store);
  let launches: LaunchFinder | undefined;
  try {
    for await (const found of readReports(deps, runId, options)) {
      const report = await withAttemptNames(deps, found);
      launches ??= listed && createLaunchFinder(listed, report.executionId);
      const goesOn = options.follow === true && isOpen(report.state);
      for (const call of selectCalls(report, { ...options, follow: goesOn }))
        yield* readCall(deps, call, { report, tails, launches });
    }
  } finally {
    await Promise.all([...tails.values()].map(async (tail) => await tail.close()));
  }
}

/** One report, or all until the run has ended: those outlive a server that is started again. */
async function* readReports(deps: ClientDeps, runId: string, { follow, signal }: LogsOptions) {
  signal?.throwIfAborted();
  if (follow !== true) yield await readStatus(deps, runId);
  else yield* watchRun(deps, runId, { intervalMs: POLL_MS, ...(signal && { signal }) });
}

/** A call that was cancelled got no outcome, and so no attempt's name; the history of an ended run tells it. */
async function withAttemptNames(deps: ClientDeps, report: RunReport): Promise<RunReport> {
  const nameless = (call: CallStatus) => call.kind === 'step' && !call.attemptName;
  if (isOpen(report.state) || !report.calls.some(nameless)) return report;
  const rebuilt = new Map((await rebuildStatus(deps, report)).calls.map((call) => [call.id, call]));
  const calls = report.calls.map((call) =>
    nameless(call) ? { ...call, ...nameOf(rebuilt.get(call.id)) } : call,
  );
  return { ...report, calls };
}

function nameOf(call: CallStatus | undefined): Pick<CallStatus, 'attemptName'> {
  return call?.attemptName === undefined ? {} : { attemptName: call.attemptName };
}

function selectCalls(report: RunReport, { step, follow }: LogsOptions): readonly CallStatus[] {
  const withLogs = report.calls.filter((call) => call.kind === 'step');
  if (step === undefined) return withLogs;
  const chosen = withLogs.filter((call) => call.name === step || call.id === step);
  if (chosen.length > 0 || follow === true) return chosen;
  const names = [...new Set(withLogs.map((call) => call.name))];
  throw new AnnealError(
    'InvalidInput',
    `Run "${report.runId}" has no step "${step}"; it has ${names.length === 0 ? 'not called any yet' : names.join(', ')}.${didYouMean(step, names)}`,
  );
}

async function* readCall(
  deps: ClientDeps,
  call: CallStatus,
  { report, tails, launches }: Reading,
): AsyncGenerator<LogChunk> {
  if (call.state === 'cached') return;
  const newest = await nameOfAttempt(deps, call, launches);
  if (newest === undefined) {
    // Between two attempts: what is left of the last one.
    for (const tail of tails.values()) if (tail.callId === call.id) yield* tail.read(true);
    return;
  }
  for (const attemptName of [...(call.earlierAttempts ?? []), newest].flatMap(attemptsUpTo)) {
    const tail =
      tails.get(attemptName) ?? new AttemptTail(deps, { call, attemptName, executionId: report.executionId });
    tails.set(attemptName, tail);
    yield* tail.read(attemptName !== newest || call.endedAtMs !== undefined);
  }
}

interface Reading {
  readonly report: RunReport;
  readonly tails: Map<string, AttemptTail>;
  /** Absent where the store cannot be asked what is there. */
  readonly launches: LaunchFinder | undefined;
}

async function nameOfAttempt(
  { attemptsDir }: ClientDeps,
  call: CallStatus,
  launches: LaunchFinder | undefined,
): Promise<string | undefined> {
  if (call.attemptName !== undefined && call.attemptName !== '') return call.attemptName;
  if (call.state !== 'running') return undefined;
  const of = { callId: call.id, attempt: call.attempt };
  const here = attemptsDir === undefined ? undefined : await findLiveAttempt(attemptsDir, of);
  return here ?? (await launches?.find({ ...of, step: call.name }));
}

/** A store that can be asked what is there. */
function listedStore(store: ClientDeps['store']): Pick<ArtifactStore, 'list' | 'readBytes'> | undefined {
  const list = store?.list?.bind(store);
  return store && list ? { list, readBytes: async (key) => await store.readBytes(key) } : undefined;
}

interface TailOf {
  readonly call: CallStatus;
  readonly attemptName: string;
  readonly executionId: string;
}

/** Reads one attempt's log from where it was left. */
class AttemptTail {
  readonly callId: string;
  private readonly deps: ClientDeps;
  private readonly of: TailOf;
  private readonly decoder = new TextDecoder();
  private file: FileHandle | undefined;
  private readonly chunks: PodLogReader | undefined;
  private offset = 0;
  private finished = false;

  constructor(deps: ClientDeps, of: TailOf) {
    this.deps = deps;
    this.of = of;
    this.callId = of.call.id;
    const listed = listedStore(deps.store);
    this.chunks = listed && createPodLogReader(listed, of);
  }

  /** @param settled the attempt has ended, so that the store has the whole log. */
  async *read(settled: boolean): AsyncGenerator<LogChunk> {
    if (this.finished) return;
    yield* this.readFile();
    if (!this.file && this.chunks)
      for await (const bytes of this.chunks.read(settled)) yield* this.emit(bytes);
    if (!settled) return;
    const key = storeKeys.log(this.of.executionId, this.of.attemptName);
    const stored = await this.deps.store?.openRead(key, { start: this.offset });
    for await (const piece of stored ?? []) yield* this.emit(piece);
    this.finished = true;
    await this.close();
  }

  async close(): Promise<void> {
    await this.file?.close();
    this.file = undefined;
  }

  private async *readFile(): AsyncGenerator<LogChunk> {
    const { attemptsDir } = this.deps;
    if (attemptsDir === undefined) return;
    // Kept open: the file can be read to its end also after the attempt's directory was removed.
    this.file ??= await open(liveLogFile(attemptsDir, this.of.attemptName), 'r').catch(() => undefined);
    const buffer = new Uint8Array(CHUNK_BYTES);
    while (this.file) {
      const { bytesRead } = await this.file.read(buffer, 0, CHUNK_BYTES, this.offset);
      if (bytesRead === 0) return;
      yield* this.emit(buffer.subarray(0, bytesRead));
    }
  }

  private *emit(bytes: Uint8Array): Generator<LogChunk> {
    this.offset += bytes.length;
    const text = this.decoder.decode(bytes, { stream: true });
    const attempt = Number(/-a(\d+)$/.exec(this.of.attemptName)?.[1] ?? this.of.call.attempt);
    if (text !== '') yield { step: this.of.call.name, callId: this.callId, attempt, text };
  }
}
