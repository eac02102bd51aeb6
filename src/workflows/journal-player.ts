import { digestOfText } from '../core/digest.js';
import { canonicalJson } from '../core/json.js';
import type { CallKey, CallKind, Journal, JournalEntry, PendingCall } from '../core/journal.js';

/** Microtask turns before a delivery where nobody can say that the code has come to rest: enough for code that awaits in a few nested functions. */
const TURNS_BEFORE_DELIVERY = 24;

/** Calls back once, when everything that could move by itself has moved: the code waits for answers alone. */
export type AtRest = (then: () => void) => void;

/**
 * Answers the calls of a pipeline function: recorded ones from the journal, in the order in which they once settled, and live ones as
 * they settle. Live calls wait until every recorded answer has been delivered, so that a re-run takes the way of the first run.
 */
export class JournalPlayer {
  private readonly entries: JournalEntry[];
  private readonly recorded: ReadonlyMap<CallKey, number>;
  private readonly pending: Map<CallKey, PendingCall>;
  private readonly occurrences = new Map<string, number>();
  private readonly asked = new Map<CallKey, () => void>();
  /** Deliveries of the next live turn: what settled since the code was last at rest. */
  private queue: (() => void)[] = [];
  private turn: number;
  private readonly heldCalls: (() => void)[] = [];
  /** Recorded entries delivered so far. */
  private delivered = 0;
  /** Recorded entries to be delivered next, together, and how many of them have been asked for. */
  private next: readonly JournalEntry[];
  private nextAsked = 0;
  private readonly recordedCount: number;
  private pumping = false;
  private readonly onSettled: () => boolean;
  private readonly atRest: AtRest;

  /**
   * @param onSettled asked before each live delivery; `true` holds it back for good, because the run continues as new.
   * @param atRest waited for before each turn, so that all code reacts to the answers of one before those of the next arrive.
   */
  constructor(journal: Journal, onSettled: () => boolean, atRest: AtRest = afterSomeTurns) {
    this.entries = [...journal.entries];
    this.recordedCount = journal.entries.length;
    this.turn = journal.entries.reduce((last, { t = 0 }) => Math.max(last, t), 0);
    this.next = this.recordedTurn();
    this.recorded = new Map(journal.entries.map((entry, i) => [entry.k, i]));
    this.pending = new Map(Object.entries(journal.pending));
    this.onSettled = onSettled;
    this.atRest = atRest;
  }

  /** The key of a new call; deterministic, since the pipeline function asks in the same order on every run. */
  keyOf(kind: CallKind, name: string, input: unknown): CallKey {
    const base = `${kind}:${name}|${input === undefined ? '' : digestOfText(canonicalJson(input)).slice(0, 16)}`;
    const occurrence = this.occurrences.get(base) ?? 0;
    this.occurrences.set(base, occurrence + 1);
    return `${base}|${occurrence}`;
  }

  /** The recorded entry of a key, if it has one. */
  recordedEntry(key: CallKey): JournalEntry | undefined {
    const index = this.recorded.get(key);
    return index === undefined ? undefined : this.entries[index];
  }

  /** Resolves with the recorded entry when its turn has come. */
  async replay(entry: JournalEntry): Promise<JournalEntry> {
    return await new Promise((resolve) => this.replayTo(entry, () => resolve(entry)));
  }

  /** Calls `deliver` when the turn of the recorded entry has come. */
  replayTo(entry: JournalEntry, deliver: () => void): void {
    this.asked.set(entry.k, deliver);
    this.pump();
  }

  /** Marks a recorded entry that is answered at once (`now`, `random`). */
  replayNow(entry: JournalEntry): void {
    this.replayTo(entry, () => undefined);
  }

  /** Resolves when every recorded answer has been delivered; at once in a run that has not continued. */
  async live(): Promise<void> {
    if (this.isLive()) return;
    await new Promise<void>((resolve) => this.heldCalls.push(resolve));
  }

  isLive(): boolean {
    return this.delivered >= this.recordedCount;
  }

  /** Whether live calls are waiting for recorded answers that nothing has asked for. */
  isStuck(): boolean {
    return !this.isLive() && this.heldCalls.length > 0;
  }

  /** The recorded call that nothing has asked for. */
  nextUnasked(): JournalEntry | undefined {
    return this.entries.slice(this.delivered, this.recordedCount).find((entry) => !this.asked.has(entry.k));
  }

  /** What was known of a call that had not settled when the run continued as new. */
  pendingOf(key: CallKey): PendingCall | undefined {
    return this.pending.get(key);
  }

  setPending(key: CallKey, pending: PendingCall): void {
    this.pending.set(key, pending);
  }

  /** Records a live answer; `deliver` is called in its turn, with all that settled before it came. */
  settle(entry: JournalEntry, deliver: () => void): void {
    if (this.queue.length === 0) this.turn++;
    this.entries.push({ ...entry, t: this.turn });
    this.pending.delete(entry.k);
    this.queue.push(deliver);
    this.pump();
  }

  /** Records an answer that was given at once. */
  settleNow(entry: JournalEntry): void {
    this.entries.push(entry);
  }

  /** The journal to carry on with. */
  journal(): Journal {
    return { version: 1, entries: this.entries, pending: Object.fromEntries(this.pending) };
  }

  private pump(): void {
    if (this.pumping || !this.hasNext()) return;
    this.pumping = true;
    this.atRest(() => {
      this.pumping = false;
      const deliveries = this.nextDeliveries();
      for (const deliver of deliveries) deliver();
      if (deliveries.length > 0) this.pump();
    });
  }

  private hasNext(): boolean {
    if (this.isLive()) return this.heldCalls.length > 0 || this.queue.length > 0;
    while (this.asked.has(this.next[this.nextAsked]?.k ?? '')) this.nextAsked++;
    return this.nextAsked === this.next.length;
  }

  /** The next recorded entry, with the others of its turn and what was answered at once among them. */
  private recordedTurn(): readonly JournalEntry[] {
    const first = this.delivered;
    const turn = this.entries[first]?.t;
    let end = first + 1;
    for (let at = end; turn !== undefined && at < this.recordedCount; at++) {
      const { t } = this.entries[at] ?? {};
      if (t === turn) end = at + 1;
      else if (t !== undefined) break;
    }
    return this.entries.slice(first, Math.min(end, this.recordedCount));
  }

  private nextDeliveries(): readonly (() => void)[] {
    if (!this.isLive()) {
      const given = this.next;
      this.delivered += given.length;
      this.next = this.recordedTurn();
      this.nextAsked = 0;
      return given.flatMap(({ k }) => this.asked.get(k) ?? []);
    }
    const held = this.heldCalls.shift();
    if (held) return [held];
    if (this.queue.length === 0 || this.onSettled()) return [];
    const settled = this.queue;
    this.queue = [];
    return settled;
  }
}

function afterSomeTurns(then: () => void, turns = TURNS_BEFORE_DELIVERY): void {
  void Promise.resolve().then(() => (turns === 0 ? then() : afterSomeTurns(then, turns - 1)));
}
