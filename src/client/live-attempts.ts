import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';

import type { ArtifactStore } from '../core/artifact-store.js';
import { storeKeys } from '../core/artifact-store.js';
import { slug, SLUG_LENGTH } from '../core/attempt.js';
import type { PodLaunch } from '../core/pod-launch.js';

/** Where an attempt that runs on this machine keeps what it prints, as the process executor lays it out. */
export function liveLogFile(attemptsDir: string, attemptName: string): string {
  return path.join(attemptsDir, attemptName, 'logs', 'output.log');
}

/** The attempt of a call that runs on this machine now; a run says an attempt's name only once that has ended. */
export async function findLiveAttempt(
  attemptsDir: string,
  call: { readonly callId: string; readonly attempt: number },
): Promise<string | undefined> {
  const names = await readdir(attemptsDir).catch(() => []);
  for (const name of names) {
    if (!name.endsWith(`-a${call.attempt}`)) continue;
    const spec = await readSpec(path.join(attemptsDir, name, 'spec.json'));
    if (spec?.request?.callId === call.callId) return name;
  }
  return undefined;
}

/** Finds attempts of a run that were launched on Kubernetes. */
export interface LaunchFinder {
  /** Its name; undefined: it has not been launched, as far as the last look told. */
  find(of: {
    readonly step: string;
    readonly callId: string;
    readonly attempt: number;
  }): Promise<string | undefined>;
}

/** Looking is paused for so many times what the last look took: a step may have any number of attempts, and those any number of files. */
const PAUSE = 10;

/** What the pods of attempts are to do lies in the store; each of these is read once, and one look serves all calls of a step. */
export function createLaunchFinder(
  store: Pick<ArtifactStore, 'list' | 'readBytes'>,
  executionId: string,
): LaunchFinder {
  const names = new Map<string, string>();
  const read = new Set<string>();
  const nextAtMs = new Map<string, number>();
  const look = async (step: string) => {
    const prefix = storeKeys.attempt(executionId, `${slug(step, SLUG_LENGTH)}-`).slice(0, -1);
    for await (const { key } of store.list(prefix)) {
      const [, attempt] = /-a(\d+)\/launch\.json$/.exec(key) ?? [];
      if (attempt === undefined || read.has(key)) continue;
      const bytes = await store.readBytes(key);
      const launch = bytes && (JSON.parse(new TextDecoder().decode(bytes)) as Partial<PodLaunch>);
      read.add(key);
      if (launch?.request && launch.name !== undefined)
        names.set(`${launch.request.callId}/${attempt}`, launch.name);
    }
  };
  return {
    find: async ({ step, callId, attempt }) => {
      const wanted = `${callId}/${attempt}`;
      const beganMs = performance.now();
      if (!names.has(wanted) && beganMs >= (nextAtMs.get(step) ?? 0)) {
        await look(step);
        const tookMs = performance.now() - beganMs;
        nextAtMs.set(step, performance.now() + tookMs * PAUSE);
      }
      return names.get(wanted);
    },
  };
}

/** Names of the attempts of a call up to this one: they differ in their number only. */
export function attemptsUpTo(attemptName: string): string[] {
  const match = /^(.*-a)(\d+)$/.exec(attemptName);
  const [, stem, last] = match ?? [];
  if (stem === undefined) return [attemptName];
  return Array.from({ length: Number(last) }, (_, i) => `${stem}${i + 1}`);
}

async function readSpec(
  file: string,
): Promise<{ readonly request?: { readonly callId?: string } } | undefined> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as { readonly request?: { readonly callId?: string } };
  } catch {
    return undefined;
  }
}
