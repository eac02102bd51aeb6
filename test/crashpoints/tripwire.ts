import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import type { CrashPoint, Moment } from './crash-point.js';

/** Sees every effect of a run, in the proxies and in the processes, and says at which of them a process dies. */
export interface Tripwire {
  /** Folder that the processes are told of. */
  readonly control: string;
  /** Forgets what was seen; then waits for the point, if there is one. `workerPid` dies with a supervisor where both shall. */
  arm(run: {
    readonly runId: string;
    readonly point: CrashPoint | undefined;
    readonly workerPid: number;
  }): void;
  /** Told by a proxy before it passes a request on. A text that does not name the run says that the effect is of an earlier one. */
  hit(effect: string, text?: string): Moment | undefined;
  /** Whether the point that is waited for kills the worker with its supervisor. */
  both(): boolean;
  /** Told when the process that should die had ended by itself: the point counts as not reached. */
  missed(): void;
  /** Whether the point was reached. */
  hasFired(): boolean;
  /** Effects since it was armed: those of the proxies, then those of files and processes. */
  seen(): string[];
}

/** A tripwire whose files are in the folder `control`. */
export function createTripwire(control: string): Tripwire {
  const [armedFile, log, firedFile] = ['armed.json', 'effects.log', 'fired'].map((name) =>
    path.join(control, name),
  ) as [string, string, string];
  let armed: CrashPoint | undefined;
  let effects: string[] = [];
  let current = '';
  const arm: Tripwire['arm'] = ({ runId, point, workerPid }) => {
    rmSync(armedFile, { force: true });
    rmSync(firedFile, { force: true });
    writeFileSync(log, '');
    effects = [];
    armed = point;
    current = runId;
    if (point === undefined) return;
    const { effect, moment, victims } = point;
    const alsoPid = victims === 'both' ? workerPid : undefined;
    writeFileSync(
      armedFile,
      JSON.stringify({ effect: effect.name, ordinal: effect.ordinal, moment, alsoPid }),
    );
  };
  return {
    control,
    arm,
    hit: (effect, text) => {
      if (text?.includes(current) === false) return undefined;
      effects.push(effect);
      if (armed?.effect.name !== effect || existsSync(firedFile)) return undefined;
      if (effects.filter((one) => one === effect).length !== armed.effect.ordinal) return undefined;
      writeFileSync(firedFile, effect);
      return armed.moment;
    },
    both: () => armed?.victims === 'both',
    missed: () => rmSync(firedFile, { force: true }),
    hasFired: () => existsSync(firedFile),
    seen: () => [
      ...effects,
      ...readFileSync(log, 'utf8')
        .split('\n')
        .filter((line) => line !== ''),
    ],
  };
}
