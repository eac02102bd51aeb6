import { listBuilds, loadBuild } from './build/load-build.js';
import type { Build } from './build/build-manifest.js';
import { followRouting, type Routing } from './current-build.js';

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
