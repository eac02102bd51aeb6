import { setTimeout as wait } from 'node:timers/promises';
import type { ArtifactStore } from '../core/artifact-store.js';
import { listBuilds, loadBuild } from './build/load-build.js';
import type { Build } from './build/build-manifest.js';
import { followRouting, readRouting, writeRouting, type Routing } from './current-build.js';
import { fetchBuild } from './fetch-build.js';
import { readDeployments, type Deployments } from './store-deployments.js';

/** What a worker is to host. */
export interface AskedBuilds {
  /** Undefined before the first build is current. */
  readonly routing?: Routing;
  /** Builds that somebody tries, beside those of new runs. */
  readonly wanted: readonly string[];
}

/** Where a worker's builds come from. */
export interface BuildSource {
  /** In a sentence about a build that is missing. */
  readonly name: string;
  /** Tells what to host, as it is and after each change, one call at a time, until the signal. */
  follow(signal: AbortSignal, onChange: (asked: AskedBuilds) => Promise<void>): Promise<void>;
  /** @throws AnnealError BuildFailed. */
  load(digest: string): Promise<Build>;
  /** Builds among which those with open runs are looked for. `openOutside` gives digests that have some, beside the hosted ones. */
  listOlder(openOutside: () => Promise<readonly string[]>): Promise<readonly Build[]>;
}

/** Builds of a directory, which somebody who makes them there shares with the worker. */
export function createDirectorySource(buildsDir: string): BuildSource {
  return {
    name: 'on this machine',
    follow: async (signal, onChange) =>
      await followRouting(buildsDir, signal, async (routing) => await onChange({ routing, wanted: [] })),
    load: async (digest) => await loadBuild(buildsDir, digest),
    listOlder: async () => await listBuilds(buildsDir),
  };
}

/** What {@link createStoreSource} takes. */
export interface StoreSourceDeps {
  readonly store: ArtifactStore;
  readonly project: string;
  /** Where builds are kept on this machine, and what new runs use is written down for those who ask without the store. */
  readonly buildsDir: string;
  readonly log: (message: string) => void;
  readonly nowMs: () => number;
  /** Time between two looks. Default: 3 s. */
  readonly pollMs?: number;
}

const POLL_MS = 3_000;
/** Longest time between two trials to take up what could not be. */
const AGAIN_MS = 60_000;

/** Builds that `anneal deploy` and `anneal run --remote` have put into the store. */
export function createStoreSource(deps: StoreSourceDeps): BuildSource {
  const { buildsDir, log } = deps;
  const load = async (digest: string) => await fetchBuild(deps, digest);
  return {
    name: 'in the store',
    follow: async (signal, onChange) => {
      const say = sayChanges(log);
      const { pollMs = POLL_MS } = deps;
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
            say(undefined);
          }
        } catch (error) {
          // What is hosted goes on. What cannot be taken up is not fetched again and again.
          say(error instanceof Error ? error.message : String(error));
          const times = text === failed.text ? failed.times + 1 : 1;
          const againMs = Math.min(AGAIN_MS, pollMs * 2 ** times);
          failed = { text, times, againAtMs: deps.nowMs() + againMs };
        }
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
