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

/** The files of `ANNEAL_COMMANDS_DIR`. */
export interface CommandFolder {
  names(): Promise<readonly string[]>;
  /** A file's JSON; `undefined` when it is not there, or is none. */
  read(name: string): Promise<Json | undefined>;
  /** Writes a file, whole or not at all. */
  put(name: string, text: string): Promise<void>;
}

/** What {@link keepDelivering} stands on. */
export interface CommandDelivery {
  readonly inbox: CommandInbox;
  /** `ANNEAL_COMMANDS_DIR` of the command, which is watched. */
  readonly directory: string;
  /** How its files are reached. Absent: as those of any folder, which is made. */
  readonly folder?: CommandFolder;
  /** Tells the command's process that something lies there. @returns false while it would not survive that. */
  readonly tell: (signal: CommandSignal) => Promise<boolean>;
}

/**
 * Hands commands to a running command until it is ended: each once, as `<number>-<name>.json`, whole when it appears; and its answers,
 * `<number>.answer.json`, back. A supervisor of processes and an agent in a pod do this alike.
 */
export async function keepDelivering(delivery: CommandDelivery): Promise<{ end(): Promise<void> }> {
  const { inbox, directory, tell } = delivery;
  const folder = delivery.folder ?? (await makeFolder(directory));
  const parts = { inbox, folder, tell };
  const state: DeliveryState = {
    numbers: await readNumbers(folder),
    unsaid: new Map(),
    answered: new Set(),
    untold: new Set(),
  };
  let running: Promise<void> = Promise.resolve();
  let ended = false;
  const turn = () => {
    // What cannot be read or written now is tried again at the next turn.
    running = running
      .then(async () => {
        if (!ended) await deliver(parts, state);
      })
      .catch(() => undefined)
      .then(async () => await collect(parts, state))
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
  /** Of those that lie there, and of which the inbox does not know it yet. */
  readonly unsaid: Map<string, number>;
  readonly answered: Set<string>;
  /** Signals that could not be sent yet. */
  readonly untold: Set<CommandSignal>;
}

interface DeliveryParts extends Pick<CommandDelivery, 'inbox' | 'tell'> {
  readonly folder: CommandFolder;
}

async function deliver({ inbox, folder, tell }: DeliveryParts, state: DeliveryState): Promise<void> {
  for (const command of await inbox.read()) {
    if (state.numbers.has(command.id)) continue;
    const number = Math.max(0, ...state.numbers.values()) + 1;
    await place(folder, number, command);
    state.numbers.set(command.id, number);
    state.unsaid.set(command.id, number);
    if (command.signal !== undefined) state.untold.add(command.signal);
  }
  for (const signal of [...state.untold]) if (await tell(signal)) state.untold.delete(signal);
  for (const [id, number] of [...state.unsaid]) {
    await inbox.delivered(id, number);
    state.unsaid.delete(id);
  }
}

async function collect({ inbox, folder }: DeliveryParts, state: DeliveryState): Promise<void> {
  for (const [id, number] of state.numbers) {
    if (state.answered.has(id)) continue;
    const answer = await folder.read(`${padded(number)}.answer.json`);
    if (answer === undefined) continue;
    await inbox.answered(id, { number, answer });
    state.answered.add(id);
  }
}

async function place(folder: CommandFolder, number: number, given: AttemptCommand): Promise<void> {
  const { id, command, parameters, by, atMs } = given;
  const text = JSON.stringify({ number, id, command, parameters, by, atMs });
  await folder.put(`${padded(number)}-${command}.json`, text);
}

/** Commands that lie there from before, by id: whoever delivers may have been started anew. */
async function readNumbers(folder: CommandFolder): Promise<Map<string, number>> {
  const numbers = new Map<string, number>();
  for (const name of await folder.names()) {
    if (!/^\d{6}-.*\.json$/.test(name)) continue;
    const read = await folder.read(name);
    const id = typeof read === 'object' && read !== null && 'id' in read ? read.id : undefined;
    if (typeof id === 'string') numbers.set(id, Number(name.slice(0, 6)));
  }
  return numbers;
}

async function makeFolder(directory: string): Promise<CommandFolder> {
  await mkdir(directory, { recursive: true });
  return {
    names: async () => await readdir(directory),
    read: async (name) => await readJson<Json>(path.join(directory, name)),
    put: async (name, text) => {
      const file = path.join(directory, name);
      await writeFile(`${file}.tmp`, text);
      await rename(`${file}.tmp`, file);
    },
  };
}

function padded(number: number): string {
  return String(number).padStart(6, '0');
}
