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

/** The attempt of a call that was launched on Kubernetes: what its pods are to do lies in the store. */
export async function findLaunchedAttempt(
  store: Pick<ArtifactStore, 'list' | 'readBytes'>,
  of: {
    readonly executionId: string;
    readonly step: string;
    readonly callId: string;
    readonly attempt: number;
  },
): Promise<string | undefined> {
  const prefix = storeKeys.attempt(of.executionId, `${slug(of.step, SLUG_LENGTH)}-`).slice(0, -1);
  const end = `-a${of.attempt}/launch.json`;
  for await (const { key } of store.list(prefix)) {
    if (!key.endsWith(end)) continue;
    const bytes = await store.readBytes(key);
    const launch = bytes && (JSON.parse(new TextDecoder().decode(bytes)) as Partial<PodLaunch>);
    if (launch?.request?.callId === of.callId) return launch.name;
  }
  return undefined;
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
