import { mkdir } from 'node:fs/promises';
import { userInfo } from 'node:os';
import path from 'node:path';

import { SetupError } from './setup-error.js';

/** Anneal's folder in the user's cache directory: `$XDG_CACHE_HOME/anneal`, else `~/Library/Caches/anneal` on macOS and `~/.cache/anneal` elsewhere. */
export function userCacheDirectory(
  env: NodeJS.ProcessEnv,
  platform: NodeJS.Platform = process.platform,
): string {
  const xdg = env['XDG_CACHE_HOME'];
  // The XDG specification says that a relative path is to be ignored.
  if (xdg !== undefined && path.isAbsolute(xdg)) return path.join(xdg, 'anneal');
  const home = env['HOME'] || systemHome();
  return platform === 'darwin'
    ? path.join(home, 'Library', 'Caches', 'anneal')
    : path.join(home, '.cache', 'anneal');
}

/** `os.homedir()` would answer with HOME again, also where that is empty. */
function systemHome(): string {
  try {
    return userInfo().homedir;
  } catch (error) {
    throw new SetupError(
      `HOME is not set, and the system knows no home directory of this user (${error instanceof Error ? error.message : String(error)}). Set XDG_CACHE_HOME to a directory that this user may write to.`,
    );
  }
}

/** The same folder, made when it is missing. @throws SetupError where it cannot be made, as with a HOME that nobody may write to. */
export async function makeUserCacheDirectory(env: NodeJS.ProcessEnv): Promise<string> {
  const directory = userCacheDirectory(env);
  try {
    await mkdir(directory, { recursive: true });
  } catch (error) {
    throw new SetupError(
      `The cache directory ${directory} cannot be made (${error instanceof Error ? error.message : String(error)}). Set XDG_CACHE_HOME to a directory that this user may write to.`,
    );
  }
  return directory;
}
