import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { hasErrorCode } from '../adapters/file-store/store-errors.js';
import type { ArtifactRef } from '../core/artifacts.js';
import { AnnealError } from '../core/failures.js';

/** A file of an input; `path` is relative, and empty where the input is one file. */
export interface MountedFile {
  readonly path: string;
  readonly sizeBytes: number;
}

/** Where an input is on this machine. @throws AnnealError InvalidConfig where it is elsewhere. */
export function mountedPath(name: string, { uri, pin }: ArtifactRef): string {
  const source = pin?.source ?? uri;
  if (source.startsWith('file:')) return fileURLToPath(source);
  throw new AnnealError(
    'InvalidConfig',
    `input "${name}" (${uri}) is to be mounted, and is not in a file system of this machine. Take it out of access: of the step, or run it on a Kubernetes pool with a volume that holds it.`,
  );
}

/** The command asks for the path of an input that is streamed. */
export function hasNoPath(name: string): AnnealError {
  return new AnnealError(
    'InvalidInput',
    `its command takes the path of input "${name}", which is streamed. Use its uri, or take it out of access.`,
  );
}

const AT_ONCE = 16;

/** Looks whether all files of an input are where it is mounted, with the sizes that were recorded. @throws AnnealError InputMissing. */
export async function checkMounted(
  { name, ref }: { readonly name: string; readonly ref: ArtifactRef },
  place: string,
  files: readonly MountedFile[],
): Promise<void> {
  const waiting = [...files];
  const worker = async () => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      const local = path.join(place, file.path);
      const what = await problemOf(local, file.sizeBytes);
      if (what === undefined) continue;
      throw new AnnealError(
        'InputMissing',
        `input "${name}" (${ref.uri}) is not as it was recorded where it is mounted: ${file.path === '' ? 'it' : `"${file.path}"`} ${what}. Look at what the volume holds, or take the input out of access.`,
      );
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

/** Why a file is not the one that was recorded, as far as can be seen without reading it. */
async function problemOf(local: string, sizeBytes: number): Promise<string | undefined> {
  try {
    await access(local, constants.R_OK);
    const found = await stat(local);
    if (!found.isFile()) return 'is no file';
    return found.size === sizeBytes ? undefined : `has ${found.size} bytes, not ${sizeBytes}`;
  } catch (error) {
    return hasErrorCode(error, 'ENOENT', 'ENOTDIR')
      ? 'is not there'
      : `cannot be read (${error instanceof Error ? error.message : String(error)})`;
  }
}
