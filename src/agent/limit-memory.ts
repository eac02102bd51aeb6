import { rm } from 'node:fs/promises';
import path from 'node:path';

import { writeJson } from '../adapters/attempt-files/json-file.js';
import type { AttemptPaths } from '../adapters/process-executor/attempt-directory.js';
import type { AttemptSpec } from '../adapters/process-executor/attempt-spec.js';
import type { CgroupFiles } from '../adapters/process-executor/cgroup-files.js';
import { findCgroupParent } from '../adapters/process-executor/find-cgroup-parent.js';
import type { MemoryEvidence, MemoryGroup } from '../adapters/process-executor/memory-group.js';
import {
  enterMemoryGroup,
  makeMemoryGroup,
  memoryGroupName,
  readMemoryEvidence,
  removeMemoryGroup,
} from '../adapters/process-executor/memory-group.js';
import { parseBytes } from '../core/quantity.js';

/** What a command used its memory for, as far as this machine can tell. */
export interface MemoryUse extends MemoryEvidence {
  /** The limit that held. */
  readonly limitBytes?: number;
}

/** The control group of an attempt's command. */
export interface LimitedMemory {
  readonly limitBytes?: number;
  /** Puts a process into the group, before it runs anything of the user's. Where that fails the command runs without. */
  enter(pid: number): Promise<void>;
  /** Tells what happened and removes the group with whatever is left in it. */
  end(): Promise<MemoryUse>;
}

/**
 * Gives the command of an attempt a control group of its own, with the memory that its step asks for as the limit, where this process may
 * make one. `undefined` where it may not: then nothing limits the command, and nothing proves that it ran out of memory.
 */
export async function limitMemory(
  files: CgroupFiles,
  spec: AttemptSpec,
  paths: Pick<AttemptPaths, 'memoryGroup'>,
): Promise<LimitedMemory | undefined> {
  const parent = await findCgroupParent(files);
  if (parent === undefined) return undefined;
  const { memory } = spec.request.resources;
  const group: MemoryGroup = {
    version: parent.version,
    directory: path.posix.join(parent.directory, memoryGroupName(spec.name)),
    ...(memory === undefined ? {} : { limitBytes: parseBytes(memory) }),
  };
  const forget = async () => {
    await removeMemoryGroup(files, group);
    await rm(paths.memoryGroup, { force: true });
  };
  // Remembered before it is there: whoever closes the attempt of a supervisor that was killed removes it.
  await writeJson(paths.memoryGroup, group);
  let usable = await makeMemoryGroup(files, group).then(
    () => true,
    () => false,
  );
  if (!usable) {
    await forget().catch(() => undefined);
    return undefined;
  }
  const limit = group.limitBytes === undefined ? {} : { limitBytes: group.limitBytes };
  return {
    ...limit,
    enter: async (pid) => {
      usable = await enterMemoryGroup(files, group, pid).then(
        () => true,
        () => false,
      );
    },
    end: async () => {
      const evidence = await readMemoryEvidence(files, group);
      // What cannot be removed now is removed when the attempt is closed.
      await forget().catch(() => undefined);
      return usable ? { ...evidence, ...limit } : { kills: 0, atLimit: false };
    },
  };
}
