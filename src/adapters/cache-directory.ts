import { homedir } from 'node:os';
import path from 'node:path';

/** Anneal's folder in the user's cache directory: `$XDG_CACHE_HOME/anneal`, else `~/Library/Caches/anneal` on macOS and `~/.cache/anneal` elsewhere. */
export function userCacheDirectory(
  env: NodeJS.ProcessEnv,
  platform: NodeJS.Platform = process.platform,
): string {
  const xdg = env['XDG_CACHE_HOME'];
  // The XDG specification says that a relative path is to be ignored.
  if (xdg !== undefined && path.isAbsolute(xdg)) return path.join(xdg, 'anneal');
  const home = env['HOME'] ?? homedir();
  return platform === 'darwin'
    ? path.join(home, 'Library', 'Caches', 'anneal')
    : path.join(home, '.cache', 'anneal');
}
