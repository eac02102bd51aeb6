// The cluster of `npm test`: built beside the other tests where it has to be, up while the cluster tests run, ended with them.
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

import { say, SetupFailure } from './bootstrap.mjs';
import {
  buildKueueInBackground,
  findClusterObstacle,
  isKueueBuilt,
  isPrepared,
  prepareInBackground,
  withCluster,
} from './test-cluster.mjs';

const PROGRESS_MS = 60_000;
/** From the beginning: where the cluster comes up later than that, Kueue would be built too late for its tests. */
const KUEUE_LIMIT_MS = 18 * 60_000;
/** From its beginning: so long may a build beside all other tests take, that all of them together end within three quarters of an hour. */
const BUILD_LIMIT_MS = 24 * 60_000;

/**
 * Begins what takes long, beside whatever the caller does next. `withEnvironment(work)` waits for it, starts the cluster, and calls `work` with
 * the variables that tell the tests where it is, or why there is none. `required`: a cluster that cannot be had is a SetupFailure; otherwise its
 * tests are skipped with the reason.
 */
export async function planClusterTests({ required }) {
  const beganAt = performance.now();
  const skip = async (obstacle, work) => {
    say(`Cluster tests are skipped: ${obstacle}`);
    return await work({ ANNEAL_TEST_CLUSTER_OBSTACLE: obstacle });
  };
  const obstacle = findClusterObstacle();
  if (obstacle !== undefined) return { withEnvironment: async (work) => await skip(obstacle, work) };
  const preparation = (await isPrepared()) ? undefined : await prepareInBackground();
  if (preparation !== undefined)
    say(
      `Test cluster: Kubernetes is built from its sources beside the other tests, once: about 8 minutes of two idle cores, 6 GB of disk with Go's caches. Progress: ${preparation.log}`,
    );
  return {
    withEnvironment: async (work) => {
      try {
        if (preparation !== undefined)
          await finish(preparation, required ? Infinity : beganAt + BUILD_LIMIT_MS - performance.now());
        return await withCluster(async ({ how, env }) => {
          say(`Test cluster: ${how}`);
          return await withKueue(work, {
            env,
            canBuild: required || performance.now() - beganAt < KUEUE_LIMIT_MS,
          });
        });
      } catch (error) {
        if (required || !(error instanceof SetupFailure)) throw error;
        return await skip(`${error.message}\nWhat was built is kept; go on with: npm test -- cluster`, work);
      }
    },
  };
}

/** Tests with Kueue wait for it; where the cluster itself came late, there is no time for that. */
async function withKueue(work, { env, canBuild }) {
  if (!canBuild && !(await isKueueBuilt())) {
    const obstacle =
      'Kueue is not built yet, and there was no time left for it (npm test -- cluster builds it)';
    say(`Tests with Kueue are skipped: ${obstacle}`);
    return await work({ ...env, ANNEAL_TEST_KUEUE_OBSTACLE: obstacle });
  }
  const stop = await buildKueueInBackground();
  if (stop) say('Test cluster: Kueue is built beside the first tests, once: 4 minutes of two idle cores');
  try {
    return await work(env);
  } finally {
    stop?.();
  }
}

async function finish({ log, finished, stop }, patienceMs) {
  const startedAt = performance.now();
  const lines = () => (existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : []);
  const tell = () => {
    const last = lines().findLast((line) => line.startsWith('cluster: ')) ?? 'has just begun';
    say(
      `Test cluster: still being built after ${((performance.now() - startedAt) / 60_000).toFixed(0)} min of waiting; ${last.replace('cluster: ', '')}`,
    );
  };
  const timer = setInterval(tell, PROGRESS_MS);
  const late = new AbortController();
  const code = await Promise.race([
    finished,
    ...(patienceMs === Infinity ? [] : [delay(Math.max(0, patienceMs), 'late', { signal: late.signal })]),
  ]).finally(() => clearInterval(timer));
  if (code === 'late') {
    stop();
    throw new SetupFailure(
      `the test cluster was not built within ${BUILD_LIMIT_MS / 60_000} minutes beside the other tests`,
    );
  }
  late.abort();
  if (code !== 0)
    throw new SetupFailure(
      `The test cluster could not be built:\n${lines().slice(-15).join('\n')}\nAll of it: ${log}`,
    );
}
