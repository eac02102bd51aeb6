import { userInfo } from 'node:os';

/** Who gives this command. A uid without an entry in the system's list of users, as in containers, is named by its number. */
export function userName(env: { readonly [name: string]: string | undefined }): string {
  try {
    return userInfo().username;
  } catch {
    return env['USER'] || env['LOGNAME'] || `uid ${process.getuid?.() ?? 'unknown'}`;
  }
}
