import { open, type FileHandle } from 'node:fs/promises';
import { storeKeys } from '../core/artifact-store.js';
import { AnnealError } from '../core/failures.js';
import { didYouMean } from '../core/nearest-name.js';
import type { CallStatus } from '../core/run.js';
import type { ClientDeps } from './client-deps.js';
import { attemptsUpTo, findLiveAttempt, liveLogFile } from './live-attempts.js';
import { rebuildStatus } from './rebuild-status.js';
import { readStatus, type RunReport } from './read-status.js';
import { isOpen } from './run-state.js';

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
 * What the steps of a run print. While an attempt runs its file on this machine is read, afterwards the copy in the store, from the
 * byte on where the file was left: nothing is missing or there twice.
 * @throws AnnealError RunNotFound, InvalidInput for a step that the run does not have, ServerUnreachable.
 */
export async function* readLogs(
  deps: ClientDeps,
  runId: string,
  options: LogsOptions = {},
): AsyncGenerator<LogChunk> {
  const tails = new Map<string, AttemptTail>();
  try {
    for (;;) {
      options.signal?.throwIfAborted();
      const report = await withAttemptNames(deps, await readStatus(deps, runId));
      const goesOn = options.follow === true && isOpen(report.state);
      for (const call of selectCalls(report, { ...options, follow: goesOn }))
        yield* readCall(deps, call, { report, tails });
      if (!goesOn) return;
      await deps.clock.sleep(POLL_MS, options.signal);
    }
  } finally {
    await Promise.all([...tails.values()].map(async (tail) => await tail.close()));
  }
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
  { report, tails }: { readonly report: RunReport; readonly tails: Map<string, AttemptTail> },
): AsyncGenerator<LogChunk> {
  if (call.state === 'cached') return;
  const newest = await nameOfAttempt(deps, call);
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

async function nameOfAttempt({ attemptsDir }: ClientDeps, call: CallStatus): Promise<string | undefined> {
  if (call.attemptName !== undefined && call.attemptName !== '') return call.attemptName;
  if (attemptsDir === undefined || call.state !== 'running') return undefined;
  return await findLiveAttempt(attemptsDir, { callId: call.id, attempt: call.attempt });
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
  private offset = 0;
  private finished = false;

  constructor(deps: ClientDeps, of: TailOf) {
    this.deps = deps;
    this.of = of;
    this.callId = of.call.id;
  }

  /** @param settled the attempt has ended, so that the store has the whole log. */
  async *read(settled: boolean): AsyncGenerator<LogChunk> {
    if (this.finished) return;
    yield* this.readFile();
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
