import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { open } from 'node:fs/promises';

import type { AttemptPaths } from './attempt-directory.js';
import { hostEnvironment } from './host-environment.js';

/** A supervisor that was started by this process. */
export interface StartedSupervisor {
  readonly child: ChildProcess;
  hasEnded(): boolean;
}

/**
 * Starts a supervisor in a session of its own, with its output in a file: neither the death of this process nor that of its group
 * reaches it. The step's secrets and the store's credentials are in its environment and nowhere on disk.
 */
export async function startSupervisor(deps: {
  readonly supervisorPath: string;
  readonly env: NodeJS.ProcessEnv;
  readonly paths: AttemptPaths;
  readonly secrets: { readonly [name: string]: string };
}): Promise<StartedSupervisor> {
  const log = await open(deps.paths.supervisorLog, 'a', 0o600);
  try {
    const child = spawn(process.execPath, [deps.supervisorPath, deps.paths.directory], {
      cwd: deps.paths.directory,
      env: { ...hostEnvironment(deps.env), ...deps.secrets },
      detached: true,
      stdio: ['ignore', log.fd, log.fd],
    });
    let ended = false;
    child.once('exit', () => (ended = true));
    child.once('error', () => (ended = true));
    child.unref();
    return { child, hasEnded: () => ended };
  } finally {
    await log.close();
  }
}
