import type { Stats } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import path from 'node:path';

import { AnnealError } from '../../core/failures.js';
import { hasErrorCode } from '../file-store/store-errors.js';

/** One file below a folder, or something that is neither a file nor a folder. */
export interface TreeEntry {
  /** Relative, with `/`. Empty: the start of the walk itself. */
  readonly path: string;
  readonly kind: 'file' | 'symlink' | 'special';
  readonly stats: Stats;
}

/** What lies at a path: every file, in order of path, following no symlink. @throws the operating system's error when nothing is there. */
export async function readTree(
  root: string,
): Promise<{ readonly form: 'file' | 'directory'; readonly entries: readonly TreeEntry[] }> {
  const stats = await lstat(root);
  if (!stats.isDirectory()) return { form: 'file', entries: [{ path: '', kind: kindOf(stats), stats }] };
  const entries: TreeEntry[] = [];
  await walk(root, '', entries);
  return { form: 'directory', entries };
}

/** Bytes that are no UTF-8 cannot be written in a manifest. */
function notUtf8(relative: string): AnnealError {
  return new AnnealError('OutputInvalid', `The file name "${relative}" is not UTF-8. Rename the file.`);
}

function kindOf(stats: Stats): TreeEntry['kind'] {
  if (stats.isFile()) return 'file';
  return stats.isSymbolicLink() ? 'symlink' : 'special';
}

async function walk(root: string, folder: string, into: TreeEntry[]): Promise<void> {
  for (const name of (await readdir(path.join(root, folder))).sort()) {
    const relative = folder === '' ? name : `${folder}/${name}`;
    const stats = await lstat(path.join(root, relative)).catch((error: unknown) => {
      throw name.includes('\ufffd') && hasErrorCode(error, 'ENOENT') ? notUtf8(relative) : error;
    });
    if (stats.isDirectory()) await walk(root, relative, into);
    else into.push({ path: relative, kind: kindOf(stats), stats });
  }
}
