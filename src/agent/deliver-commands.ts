import { mkdir, readdir, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { watchDirectory } from '../adapters/attempt-files/watch-directory.js';
import { readJson } from '../adapters/attempt-files/json-file.js';
import type { Json } from '../core/json.js';
import type { AttemptCommand, CommandSignal } from '../core/step-command.js';

/** Where commands for an attempt come from, and where it is told what became of them. */
export interface CommandInbox {
  /** Those that have come so far, in the order in which they came. */
  read(): Promise<readonly AttemptCommand[]>;
  delivered(id: string, number: number): Promise<void>;
  answered(id: string, answer: { readonly number: number; readonly answer: Json }): Promise<void>;
}

/** What {@link keepDelivering} stands on. */
export interface CommandDelivery {
  readonly inbox: CommandInbox;
  /** `ANNEAL_COMMANDS_DIR` of the command. */
  readonly directory: string;
  /** Tells the command's process that something lies there. @returns false while it would not survive that. */
  readonly tell: (signal: CommandSignal) => Promise<boolean>;
}

/**
 * Hands commands to a running command until it is ended: each once, as `<number>-<name>.json`, whole when it appears; and its answers,
 * `<number>.answer.json`, back. A supervisor of processes and an agent in a pod do this alike.
 */
export async function keepDelivering(delivery: CommandDelivery): Promise<{ end(): Promise<void> }> {
  const { directory } = delivery;
  await mkdir(directory, { recursive: true });
  const state: DeliveryState = {
    numbers: await readNumbers(directory),
    answered: new Set(),
    untold: new Set(),
  };
  let running: Promise<void> = Promise.resolve();
  let ended = false;
  const turn = () => {
    // What cannot be read or written now is tried again at the next turn.
    running = running
      .then(async () => {
        if (!ended) await deliver(delivery, state);
        await collect(delivery, state);
      })
      .catch(() => undefined);
  };
  const watcher = watchDirectory(directory, turn);
  const poll = setInterval(turn, POLL_MS);
  turn();
  return {
    end: async () => {
      clearInterval(poll);
      watcher.close();
      ended = true;
      turn();
      await running;
    },
  };
}

const POLL_MS = 250;

interface DeliveryState {
  /** Of each command that lies there, by id. */
  readonly numbers: Map<string, number>;
  readonly answered: Set<string>;
  /** Signals that could not be sent yet. */
  readonly untold: Set<CommandSignal>;
}

async function deliver({ inbox, directory, tell }: CommandDelivery, state: DeliveryState): Promise<void> {
  for (const command of await inbox.read()) {
    if (state.numbers.has(command.id)) continue;
    const number = Math.max(0, ...state.numbers.values()) + 1;
    await place(directory, number, command);
    state.numbers.set(command.id, number);
    if (command.signal !== undefined) state.untold.add(command.signal);
    await inbox.delivered(command.id, number);
  }
  for (const signal of [...state.untold]) if (await tell(signal)) state.untold.delete(signal);
}

async function collect({ inbox, directory }: CommandDelivery, state: DeliveryState): Promise<void> {
  for (const [id, number] of state.numbers) {
    if (state.answered.has(id)) continue;
    const answer = await readJson<Json>(path.join(directory, `${padded(number)}.answer.json`));
    if (answer === undefined) continue;
    await inbox.answered(id, { number, answer });
    state.answered.add(id);
  }
}

async function place(directory: string, number: number, given: AttemptCommand): Promise<void> {
  const { id, command, parameters, by, atMs } = given;
  const file = path.join(directory, `${padded(number)}-${command}.json`);
  await writeFile(`${file}.tmp`, JSON.stringify({ number, id, command, parameters, by, atMs }));
  await rename(`${file}.tmp`, file);
}

/** Commands that lie there from before, by id: whoever delivers may have been started anew. */
async function readNumbers(directory: string): Promise<Map<string, number>> {
  const names = (await readdir(directory)).filter((name) => /^\d{6}-.*\.json$/.test(name));
  const read = await Promise.all(
    names.map(async (name) => await readJson<{ readonly id: string }>(path.join(directory, name))),
  );
  return new Map(
    names.flatMap((name, i) => (read[i] ? [[read[i].id, Number(name.slice(0, 6))] as const] : [])),
  );
}

function padded(number: number): string {
  return String(number).padStart(6, '0');
}
