import { setTimeout as wait } from 'node:timers/promises';
import type { ArtifactStore } from '../core/artifact-store.js';
import type { Build } from './build/build-manifest.js';
import type { BuildSource } from './build-source.js';
import { readRouting, writeRouting } from './current-build.js';
import { fetchBuild } from './fetch-build.js';
import { readDeployments, type Deployments } from './store-deployments.js';
import { trimFetched } from './trim-fetched.js';

/** What {@link createStoreSource} takes. */
export interface StoreSourceDeps {
  readonly store: ArtifactStore;
  readonly project: string;
  /** Where builds are kept on this machine, and what new runs use is written down for those who ask without the store. */
  readonly buildsDir: string;
  readonly log: (message: string) => void;
  readonly nowMs: () => number;
  readonly hasOpenRuns: (digest: string) => Promise<boolean>;
  /** Whether a worker of a build runs here. Default: none does. */
  readonly isHosted?: (digest: string) => boolean;
  /** Time between two looks. Default: 3 s. */
  readonly pollMs?: number;
}

const POLL_MS = 3_000;
/** Longest time between two trials to take up what could not be. */
const AGAIN_MS = 60_000;
const TRIM_MS = 10 * 60_000;

/** Builds that `anneal deploy` and `anneal run --remote` have put into the store. */
export function createStoreSource(deps: StoreSourceDeps): BuildSource {
  const { buildsDir, log } = deps;
  const load = async (digest: string) => await fetchBuild(deps, digest);
  return {
    name: 'in the store',
    follow: async (signal, onChange) => {
      const say = sayChanges(log);
      const { pollMs = POLL_MS } = deps;
      const trim = createTrim(deps);
      let last: string | undefined;
      let failed = { text: '', times: 0, againAtMs: 0 };
      while (!signal.aborted) {
        let text = '';
        try {
          const found = await readDeployments(deps, deps.nowMs());
          text = JSON.stringify(found);
          const isLeft = text === failed.text && deps.nowMs() < failed.againAtMs;
          if (text !== last && !isLeft) {
            await onChange(found);
            await keepRouting(buildsDir, found);
            last = text;
          }
          if (text === last) say(undefined);
        } catch (error) {
          // What is hosted goes on. What cannot be taken up is not fetched again and again.
          say(error instanceof Error ? error.message : String(error));
          const times = text === failed.text ? failed.times + 1 : 1;
          const againMs = Math.min(AGAIN_MS, pollMs * 2 ** times);
          failed = { text, times, againAtMs: deps.nowMs() + againMs };
        }
        await trim().catch((error: unknown) => log(`could not remove old builds: ${String(error)}`));
        await wait(pollMs, undefined, { signal }).catch(() => undefined);
      }
    },
    load,
    listOlder: async (openOutside) => {
      const builds: Build[] = [];
      for (const digest of await openOutside())
        await load(digest).then(
          (build) => builds.push(build),
          (error: unknown) => log(`runs of build ${digest.slice(0, 12)} do not go on here: ${String(error)}`),
        );
      return builds;
    },
  };
}

/** Removes now and then what nobody needs here any more. */
function createTrim({ buildsDir, nowMs, hasOpenRuns, isHosted }: StoreSourceDeps): () => Promise<void> {
  let nextMs = nowMs() + TRIM_MS;
  return async () => {
    if (nowMs() < nextMs) return;
    nextMs = nowMs() + TRIM_MS;
    // A build that is tried has no open runs between two of them.
    const isNeeded = async (digest: string) => isHosted?.(digest) === true || (await hasOpenRuns(digest));
    await trimFetched({ buildsDir, nowMs, isNeeded });
  };
}

/** Triggers, partitions and messages ask which build is current. */
async function keepRouting(buildsDir: string, { routing }: Deployments): Promise<void> {
  if (routing === undefined) return;
  if (JSON.stringify(await readRouting(buildsDir)) !== JSON.stringify(routing))
    await writeRouting(buildsDir, routing);
}

/** Says a problem when it is another one than before. */
function sayChanges(log: (message: string) => void): (problem: string | undefined) => void {
  let last: string | undefined;
  return (problem) => {
    if (problem !== undefined && problem !== last) log(`new builds are not taken up: ${problem}`);
    last = problem;
  };
}
