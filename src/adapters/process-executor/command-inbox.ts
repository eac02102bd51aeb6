import { mkdir, readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Json } from '../../core/json.js';
import type { AttemptCommand, CommandAnswer } from '../../core/step-command.js';
import { readJson, writeJson } from '../attempt-files/json-file.js';
import { hasErrorCode } from '../file-store/store-errors.js';
import type { AttemptPaths } from './attempt-directory.js';
import { readAttemptState } from './attempt-state.js';

interface Delivered {
  readonly number: number;
}
interface Answered extends Delivered {
  readonly answer: Json;
}

/** The commands in an attempt's directory, as its supervisor reads them. */
export function createCommandInbox({ commandInbox }: Pick<AttemptPaths, 'commandInbox'>): {
  read(): Promise<readonly AttemptCommand[]>;
  delivered(id: string, number: number): Promise<void>;
  answered(id: string, answer: Answered): Promise<void>;
} {
  return {
    read: async () => {
      const names = await readdir(commandInbox).catch(() => []);
      const asked = names.filter((name) => name.endsWith(ASKED));
      const read = await Promise.all(
        asked.map(async (name) => await readJson<AttemptCommand>(path.join(commandInbox, name))),
      );
      return read
        .filter((command) => command !== undefined)
        .toSorted((a, b) => a.atMs - b.atMs || (a.id < b.id ? -1 : 1));
    },
    delivered: async (id, number) => {
      await writeJson(path.join(commandInbox, `${id}${DELIVERED}`), { number } satisfies Delivered);
    },
    answered: async (id, answer) => {
      await writeJson(path.join(commandInbox, `${id}${ANSWERED}`), answer);
    },
  };
}

const ASKED = '.asked.json';
const DELIVERED = '.delivered.json';
const ANSWERED = '.answered.json';
const POLL_MS = 100;
/** How long an answer stays there to be read by whoever asked. */
const READABLE_MS = 2_000;

/** Time, and how long an answer is waited for. */
export interface CommandWait {
  readonly withinMs: number;
  readonly nowMs: () => number;
  readonly signal: AbortSignal;
}

/** Puts a command where the attempt's supervisor finds it, and waits for what becomes of it. The same id again is the same command. */
export async function sendCommand(
  paths: AttemptPaths,
  command: AttemptCommand,
  { withinMs, nowMs, signal }: CommandWait,
): Promise<CommandAnswer> {
  const { commandInbox } = paths;
  const read = async <T>(ending: string) =>
    await readJson<T>(path.join(commandInbox, `${command.id}${ending}`));
  if (!(await isRunning(paths))) return { state: 'ended' };
  try {
    await mkdir(commandInbox, { recursive: false }).catch(exists);
    await writeJson(path.join(commandInbox, `${command.id}${ASKED}`), command, { ifAbsent: true });
  } catch (error) {
    if (hasErrorCode(error, 'ENOENT')) return { state: 'ended' };
    throw error;
  }
  const deadline = nowMs() + withinMs;
  for (;;) {
    signal.throwIfAborted();
    const running = await isRunning(paths);
    const answered = await read<Answered>(ANSWERED);
    if (answered) return { state: 'answered', ...answered };
    const delivered = await read<Delivered>(DELIVERED);
    if (!running) return delivered ? { state: 'delivered', ...delivered } : { state: 'ended' };
    if (nowMs() >= deadline) return delivered ? { state: 'delivered', ...delivered } : { state: 'waiting' };
    await delay(POLL_MS, undefined, { signal });
  }
}

/** Resolves when the newest answer has lain there for long enough to be read: a command may answer and end at once. */
export async function untilAnswersAreRead({
  commandInbox,
}: Pick<AttemptPaths, 'commandInbox'>): Promise<void> {
  const names = await readdir(commandInbox).catch(() => []);
  const answers = names.filter((name) => name.endsWith(ANSWERED));
  if (answers.length === 0) return;
  const files = await Promise.all(
    answers.map(async (name) => await stat(path.join(commandInbox, name)).catch(() => undefined)),
  );
  const newestMs = Math.max(0, ...files.map((file) => file?.mtimeMs ?? 0));
  await delay(Math.min(READABLE_MS, Math.max(0, newestMs + READABLE_MS - Date.now())));
}

async function isRunning(paths: AttemptPaths): Promise<boolean> {
  const { kind } = await readAttemptState(paths);
  return kind === 'running' || kind === 'unsupervised';
}

function exists(error: unknown): void {
  if (!hasErrorCode(error, 'EEXIST')) throw error;
}
