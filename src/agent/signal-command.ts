import { readFile } from 'node:fs/promises';
import { readJson } from '../adapters/attempt-files/json-file.js';
import type { CommandRecord } from '../adapters/process-executor/attempt-spec.js';
import { isSameProcess } from '../adapters/process-identity.js';
import type { CommandSignal } from '../core/step-command.js';

/** Bit of SIGUSR1 in the masks of Linux. */
const SIGUSR1_BIT = 1n << 9n;

/**
 * Sends a signal to the command of an attempt. A process that does not handle it would be ended by it: on Linux, where that can be seen,
 * it is sent only to one that does.
 * @param commandFile its `CommandRecord`.
 * @returns false when it was not sent: the command has not begun, or does not handle it yet.
 */
export async function signalCommand(commandFile: string, signal: CommandSignal): Promise<boolean> {
  const record = await readJson<CommandRecord>(commandFile);
  if (record === undefined || !(await isSameProcess(record.identity))) return false;
  if (!(await handles(record.identity.pid))) return false;
  try {
    process.kill(record.identity.pid, signal);
  } catch {
    return false;
  }
  return true;
}

async function handles(pid: number): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => undefined);
  const mask = status === undefined ? undefined : /^SigCgt:\s*([0-9a-f]+)$/m.exec(status)?.[1];
  return mask === undefined || (BigInt(`0x${mask}`) & SIGUSR1_BIT) !== 0n;
}
