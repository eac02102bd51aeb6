import { AsyncLocalStorage } from 'node:async_hooks';
import { setMaxListeners } from 'node:events';
import { CancelledFailure } from '@temporalio/common';
import type { CallKey, CallKind, Journal, JournalEntry } from '../core/journal.js';
import { fromJournalFailure, toJournalFailure } from '../workflows/failures.js';
import { JournalPlayer } from '../workflows/journal-player.js';

/** What a call is, for its key in the journal. */
export interface TestCallIdentity {
  readonly kind: CallKind;
  readonly name: string;
  readonly input?: unknown;
}

/** How calls of a pipeline are answered; the same keys and order as in a real run. */
export interface TestContext {
  call<T>(identity: TestCallIdentity, work: (signal: AbortSignal) => Promise<T>): Promise<T>;
  callNow<T>(identity: TestCallIdentity, produce: () => T): T;
  /** Does what nothing answers, such as logging; not repeated in the second run. */
  once(fn: () => void): void;
  /** Runs `fn` out of reach of the run's cancellation. */
  shielded<T>(fn: () => Promise<T>): Promise<T>;
}

/** The first run: calls are made, and recorded in a journal. */
export class RecordingContext implements TestContext {
  /** Keys of all calls, settled or not. */
  readonly asked = new Set<CallKey>();
  private readonly player = new JournalPlayer({ version: 1, entries: [], pending: {} }, () => this.ended);
  private readonly shield = new AsyncLocalStorage<AbortSignal>();
  private readonly cancelled: AbortSignal;
  private ended = false;

  constructor(cancelled: AbortSignal) {
    this.cancelled = cancelled;
  }

  async call<T>(
    { kind, name, input }: TestCallIdentity,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const key = this.keyOf({ kind, name, input });
    const signal = this.shield.getStore() ?? this.cancelled;
    if (signal.aborted) throw new CancelledFailure(`${kind} "${name}" was not started: the run is cancelled`);
    return await new Promise<T>((resolve, reject) => {
      untilAborted(work(signal), signal).then(
        (value) => this.player.settle({ k: key, v: value }, () => resolve(value)),
        (error: unknown) => {
          const thrown = error instanceof Error ? error : new Error(String(error));
          this.player.settle({ k: key, f: toJournalFailure(thrown) }, () => reject(thrown));
        },
      );
    });
  }

  callNow<T>(identity: TestCallIdentity, produce: () => T): T {
    const value = produce();
    this.player.settleNow({ k: this.keyOf(identity), v: value });
    return value;
  }

  once(fn: () => void): void {
    fn();
  }

  async shielded<T>(fn: () => Promise<T>): Promise<T> {
    const { signal } = new AbortController();
    setMaxListeners(0, signal);
    return await this.shield.run(signal, fn);
  }

  /** Ends the recording: nothing more is delivered. */
  end(): Journal {
    this.ended = true;
    const { entries } = this.player.journal();
    return { version: 1, entries: [...entries], pending: {} };
  }

  private keyOf({ kind, name, input }: TestCallIdentity): CallKey {
    const key = this.player.keyOf(kind, name, input);
    this.asked.add(key);
    return key;
  }
}

/** The second run: every call is answered from the journal of the first, as after continue-as-new. */
export class RepeatingContext implements TestContext {
  private readonly player: JournalPlayer;
  private readonly asked: ReadonlySet<CallKey>;
  private unexpected: CallKey | undefined;

  constructor(journal: Journal, asked: ReadonlySet<CallKey>) {
    this.player = new JournalPlayer(journal, () => true);
    this.asked = asked;
  }

  async call<T>({ kind, name, input }: TestCallIdentity): Promise<T> {
    const key = this.player.keyOf(kind, name, input);
    const recorded = this.player.recordedEntry(key);
    if (recorded) return answerOf<T>(await this.player.replay(recorded));
    return await this.pending(key);
  }

  callNow<T>({ kind, name, input }: TestCallIdentity): T {
    const key = this.player.keyOf(kind, name, input);
    const recorded = this.player.recordedEntry(key);
    if (!recorded) throw new Error(this.note(key));
    this.player.replayNow(recorded);
    return answerOf<T>(recorded);
  }

  once(): void {
    return;
  }

  async shielded<T>(fn: () => Promise<T>): Promise<T> {
    return await fn();
  }

  /** What it did otherwise than the first run, in words, or undefined. */
  divergence(): string | undefined {
    if (this.unexpected !== undefined)
      return `it asked for ${inWords(this.unexpected)}, which it did not the first time`;
    const missing = this.player.nextUnasked();
    return missing && `it did not ask for ${inWords(missing.k)}, as it did the first time`;
  }

  /** A call that had not settled when the first run ended stays open. */
  private async pending<T>(key: CallKey): Promise<T> {
    if (!this.asked.has(key)) this.note(key);
    return await new Promise(() => undefined);
  }

  private note(key: CallKey): string {
    this.unexpected ??= key;
    return `${inWords(key)} was not asked for the first time`;
  }
}

function inWords(key: CallKey): string {
  const [call = ''] = key.split('|');
  const [kind = '', ...name] = call.split(':');
  return name.join(':') === '' ? `${kind}()` : `${kind} "${name.join(':')}"`;
}

function answerOf<T>(entry: JournalEntry): T {
  if (entry.f) throw fromJournalFailure(entry.f);
  return entry.v as T;
}

async function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return await new Promise<T>((resolve, reject) => {
    const onAbort = () => reject(new CancelledFailure('cancelled'));
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
