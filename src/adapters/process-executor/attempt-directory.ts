import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';

import type { CommandPaths } from '../../core/command-paths.js';
import { readJson } from '../attempt-files/json-file.js';
import { hasErrorCode } from '../file-store/store-errors.js';

/** Every path of one attempt's directory; the one place that knows its layout. */
export interface AttemptPaths extends CommandPaths {
  readonly directory: string;
  /** What to run: `AttemptSpec`. */
  readonly spec: string;
  /** Identity of the supervisor; who makes this file is the one supervisor. */
  readonly supervisor: string;
  /** Identity of the command: `CommandRecord`. */
  readonly command: string;
  /** `MemoryGroup`, while the attempt has a control group. */
  readonly memoryGroup: string;
  /** `AttemptStatus`. */
  readonly status: string;
  /** `AttemptResult`, written last. */
  readonly result: string;
  /** Touched by whoever waits for the attempt. */
  readonly claimed: string;
  /** `StopRequest`: made by whoever wants the attempt to end. */
  readonly stop: string;
  /** Names of checkpoint entries that are written as `<name>.tmp` first. */
  readonly renamedCheckpoints: string;
  readonly supervisorLog: string;
  /** What people have sent, and what became of it. */
  readonly commandInbox: string;
}

export function attemptPaths(attemptsDir: string, name: string): AttemptPaths {
  return pathsIn(path.join(attemptsDir, name));
}

export function pathsIn(directory: string): AttemptPaths {
  const at = (...segments: string[]) => path.join(directory, ...segments);
  return {
    directory,
    spec: at('spec.json'),
    supervisor: at('supervisor.json'),
    command: at('command.json'),
    memoryGroup: at('memory-group.json'),
    status: at('status.json'),
    result: at('result.json'),
    claimed: at('claimed'),
    stop: at('stop'),
    renamedCheckpoints: at('renamed-checkpoints.json'),
    supervisorLog: at('supervisor.log'),
    log: at('logs', 'output.log'),
    metricsStream: at('metrics.jsonl'),
    work: at('work'),
    inputs: at('inputs'),
    parameters: at('parameters'),
    outputs: at('outputs'),
    checkpoints: at('checkpoints'),
    commands: at('commands'),
    commandInbox: at('command-inbox'),
    home: at('home'),
    temporary: at('tmp'),
  };
}

/** Where the log of a running attempt grows: raw bytes of standard output and standard error, in the order they were written. */
export function attemptLogPath(attemptsDir: string, name: string): string {
  return attemptPaths(attemptsDir, name).log;
}

/** Names of the attempts that have a directory on this machine. */
export async function listAttempts(attemptsDir: string): Promise<string[]> {
  const entries = await readdir(attemptsDir, { withFileTypes: true }).catch((error: unknown) => {
    if (hasErrorCode(error, 'ENOENT')) return [];
    throw error;
  });
  return entries
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
    .map((entry) => entry.name);
}

/**
 * Makes the directory with everything that a supervisor needs, in one step: it is there whole or not at all.
 * @returns false when somebody else's was there first.
 */
export async function createAttemptDirectory(
  attemptsDir: string,
  name: string,
  spec: unknown,
): Promise<boolean> {
  const draft = pathsIn(path.join(attemptsDir, `.${name}.${randomUUID()}`));
  const target = attemptPaths(attemptsDir, name).directory;
  await mkdir(draft.directory, { recursive: true, mode: 0o700 });
  try {
    for (const folder of [
      path.dirname(draft.log),
      draft.work,
      draft.inputs,
      draft.parameters,
      draft.outputs,
      draft.checkpoints,
      draft.home,
      draft.temporary,
    ])
      await mkdir(folder);
    for (const file of [draft.claimed, draft.log, draft.metricsStream]) await writeFile(file, '');
    await writeFile(draft.spec, JSON.stringify(spec), { mode: 0o600, flush: true });
    await rename(draft.directory, target);
    return true;
  } catch (error) {
    // Renaming over a directory that is not empty is refused: this is what makes creation exclusive.
    if (!hasErrorCode(error, 'ENOTEMPTY', 'EEXIST')) throw error;
    await removeDamagedDirectory(attemptsDir, name);
    return false;
  } finally {
    await rm(draft.directory, { recursive: true, force: true });
  }
}

/** Removes an attempt's directory; for everybody else it vanishes in one step. */
export async function removeAttemptDirectory(attemptsDir: string, name: string): Promise<void> {
  const trash = path.join(attemptsDir, `.${name}.${randomUUID()}.removed`);
  try {
    await rename(attemptPaths(attemptsDir, name).directory, trash);
  } catch (error) {
    if (hasErrorCode(error, 'ENOENT')) return;
    throw error;
  }
  await rm(trash, { recursive: true, force: true, maxRetries: 3 });
}

/** Removes a directory that a power cut left without a readable spec: nothing of it runs any more, and nobody can use it. */
export async function removeDamagedDirectory(attemptsDir: string, name: string): Promise<void> {
  const paths = attemptPaths(attemptsDir, name);
  const isThere = await stat(paths.directory).catch(() => undefined);
  if (isThere !== undefined && (await readJson(paths.spec)) === undefined)
    await removeAttemptDirectory(attemptsDir, name);
}
