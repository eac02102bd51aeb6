import { readdir } from 'node:fs/promises';
import path from 'node:path';

import { createStoredInbox } from '../../adapters/attempt-files/stored-commands.js';
import type { Json } from '../../core/json.js';
import type { PodPaths } from '../../core/pod-layout.js';
import { keepDelivering, type CommandFolder } from '../deliver-commands.js';
import type { PodContext } from './pod-context.js';
import { openVolumeFile, withSafePath, writeVolumeText } from './volume-files.js';

/** Hands the commands that people sent to the attempt to its command, and its answers back, until it is ended. */
export async function deliverToPod({
  store,
  place,
  paths,
  clock,
}: PodContext): Promise<{ end(): Promise<void> }> {
  const { executionId, attemptName: name } = place;
  return await keepDelivering({
    inbox: createStoredInbox({ store, place: { executionId, name } }, clock),
    directory: paths.commands,
    folder: openFolder(paths),
    // The containers do not see each other's processes: the wrapper sends it.
    tell: async (signal) => {
      await writeVolumeText(paths.root, paths.signal, signal);
      return true;
    },
  });
}

/** The folder is the command's, too: nothing in it is followed out of the volume. */
function openFolder({ root, commands }: PodPaths): CommandFolder {
  return {
    // Whatever the command put in its place: nothing can be delivered then, and the attempt goes on.
    names: async () =>
      await withSafePath(
        root,
        path.join(commands, 'any'),
        async (file) => await readdir(path.dirname(file)),
      ).catch(() => []),
    read: async (name) => await readVolumeJson(root, path.join(commands, name)),
    put: async (name, text) => await writeVolumeText(root, path.join(commands, name), text),
  };
}

/** Bytes of the largest answer. */
const ANSWER_BYTES = 64 * 1024;

async function readVolumeJson(root: string, file: string): Promise<Json | undefined> {
  const handle = await openVolumeFile(root, file);
  if (handle === undefined) return undefined;
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(ANSWER_BYTES), 0, ANSWER_BYTES, 0);
    return JSON.parse(buffer.subarray(0, bytesRead).toString('utf8')) as Json;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  } finally {
    await handle.close();
  }
}
