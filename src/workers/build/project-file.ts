import path from 'node:path';
import type { OwnModules } from './own-modules.js';

/**
 * Whether a file is code that the project's people wrote: neither a package nor Anneal's own, compiled or not, which is below the
 * project in Anneal's repository.
 */
export function isProjectFile(
  file: string,
  { root, own }: { readonly root: string; readonly own: Pick<OwnModules, 'directory'> },
): boolean {
  const ours = ['src', 'dist'].map((name) => path.join(path.dirname(own.directory), name));
  const left = [path.join(root, '.anneal'), ...ours];
  return (
    file.startsWith(root + path.sep) &&
    !left.some((directory) => file.startsWith(directory + path.sep)) &&
    !file.includes(`${path.sep}node_modules${path.sep}`)
  );
}
