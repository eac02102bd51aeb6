import { setTimeout as delay } from 'node:timers/promises';

import type { ArtifactStore } from '../../core/artifact-store.js';
import { storeKeys } from '../../core/artifact-store.js';
import type { Json } from '../../core/json.js';
import type { AttemptCommand, CommandAnswer } from '../../core/step-command.js';
import { readStoredOutcome, toBytes, type AttemptPlace } from './stored-outcome.js';

/** Where the commands for an attempt lie in the store. */
export interface StoredInbox {
  readonly store: ArtifactStore;
  readonly place: AttemptPlace;
}

interface Delivered {
  readonly number: number;
}
interface Answered extends Delivered {
  readonly answer: Json;
}

/** The commands for an attempt in the store, as the agent of its pod reads them. It is listed every two seconds, whoever asks how often. */
export function createStoredInbox(inbox: StoredInbox, { nowMs }: { nowMs(): number }) {
  const { store } = inbox;
  const known = new Map<string, AttemptCommand>();
  let listedAtMs = -Infinity;
  return {
    read: async (): Promise<readonly AttemptCommand[]> => {
      if (nowMs() - listedAtMs >= LIST_MS) {
        listedAtMs = nowMs();
        for await (const { key } of store.list(prefixOf(inbox))) {
          if (!key.endsWith(ASKED) || known.has(key)) continue;
          const command = await readObject<AttemptCommand>(store, key);
          if (command) known.set(key, command);
        }
      }
      return [...known.values()].toSorted((a, b) => a.atMs - b.atMs || (a.id < b.id ? -1 : 1));
    },
    delivered: async (id: string, number: number): Promise<void> => {
      await store.putBytes(keyOf(inbox, id, DELIVERED), toBytes({ number } satisfies Delivered));
    },
    answered: async (id: string, answer: Answered): Promise<void> => {
      await store.putBytes(keyOf(inbox, id, ANSWERED), toBytes(answer));
    },
  };
}

/**
 * Puts a command where the agent of the attempt's pod finds it, and waits for what becomes of it. The same id again is the same command.
 * @throws AnnealError StoreUnavailable: sent again, it is carried out once.
 */
export async function sendStoredCommand(
  inbox: StoredInbox,
  {
    command,
    withinMs,
    nowMs,
    signal,
  }: {
    readonly command: AttemptCommand;
    readonly withinMs: number;
    readonly nowMs: () => number;
    readonly signal: AbortSignal;
  },
): Promise<CommandAnswer> {
  const { store, place } = inbox;
  const read = async <T>(ending: string) => await readObject<T>(store, keyOf(inbox, command.id, ending));
  const hasEnded = async () => (await readStoredOutcome(store, place)) !== undefined;
  // One that has ended takes nothing new; what it was sent before is still told.
  if (!(await hasEnded()))
    await store.putBytes(keyOf(inbox, command.id, ASKED), toBytes(command), { ifAbsent: true });
  const deadline = nowMs() + withinMs;
  for (;;) {
    signal.throwIfAborted();
    // Looked at in this order: what came before the end is then seen.
    const ended = await hasEnded();
    const answered = await read<Answered>(ANSWERED);
    if (answered) return { state: 'answered', ...answered };
    if (ended || nowMs() >= deadline) {
      const delivered = await read<Delivered>(DELIVERED);
      if (delivered) return { state: 'delivered', ...delivered };
      return { state: ended ? 'ended' : 'waiting' };
    }
    await delay(Math.min(POLL_MS, Math.max(0, deadline - nowMs())), undefined, { signal });
  }
}

const ASKED = '.asked.json';
const DELIVERED = '.delivered.json';
const ANSWERED = '.answered.json';
const LIST_MS = 2_000;
const POLL_MS = 1_000;

function prefixOf({ place }: StoredInbox): string {
  return storeKeys.commands(place.executionId, place.name);
}

function keyOf(inbox: StoredInbox, id: string, ending: string): string {
  return `${prefixOf(inbox)}${id}${ending}`;
}

async function readObject<T>(store: ArtifactStore, key: string): Promise<T | undefined> {
  const bytes = await store.readBytes(key);
  return bytes === undefined ? undefined : (JSON.parse(new TextDecoder().decode(bytes)) as T);
}
