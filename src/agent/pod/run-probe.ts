import { writeFile } from 'node:fs/promises';

import { probeStore } from '../../adapters/open-store.js';
import { AnnealError } from '../../core/failures.js';
import { toLastMessage } from '../../core/pod-last-message.js';
import { podVariables } from '../../core/pod-layout.js';
import type { S3Settings } from '../../core/store-location.js';
import { failureInPod } from './failure-in-pod.js';

/** Lists, writes, reads and removes an object of the store. @returns the exit code; why it could not is in the last message of the container. */
export async function runProbe(
  env: NodeJS.ProcessEnv,
  terminationLog: string,
  limitMs = LIMIT_MS,
): Promise<number> {
  try {
    await within(limitMs, probe(env));
    return 0;
  } catch (error) {
    const text = toLastMessage(failureInPod(error, { container: 'probe', step: undefined }));
    await writeFile(terminationLog, text).catch(() => undefined);
    process.stderr.write(`${text}\n`);
    return 1;
  }
}

/** Somebody waits for the answer: the store's own patience is longer. */
const LIMIT_MS = 30_000;

async function probe(env: NodeJS.ProcessEnv): Promise<void> {
  const root = env[podVariables.store];
  if (root === undefined) throw new AnnealError('InvalidConfig', `${podVariables.store} is not set.`);
  const s3 = env[podVariables.s3];
  const location = { root, ...(s3 === undefined ? {} : { s3: JSON.parse(s3) as S3Settings }) };
  await probeStore(location, { nowMs: () => Date.now() });
}

async function within(limitMs: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const message = `The artifact store has not answered within ${limitMs / 1_000} s. Check the endpoint and the network.`;
      reject(new AnnealError('StoreUnavailable', message));
    }, limitMs);
  });
  await Promise.race([work, late]).finally(() => clearTimeout(timer));
}
