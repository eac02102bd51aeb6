import type { Build } from './build/build-manifest.js';

/** What {@link createBuildHost} needs to know and to do. */
export interface BuildHostDeps {
  /** Builds that can be hosted here, beside the hosted ones at least those that have open runs. */
  readonly listBuilds: (hosted: readonly string[]) => Promise<readonly Build[]>;
  /** Where they are, in a sentence about one that is missing. Default: on this machine. */
  readonly where?: string;
  /** How many open runs are pinned to a build that is not among these. */
  readonly countOpenRunsOutside: (digests: readonly string[]) => Promise<number>;
  readonly hasOpenRuns: (digest: string) => Promise<boolean>;
  /** Starts the worker of a build; what it gives stops that. */
  readonly start: (build: Build) => Promise<() => void>;
  readonly nowMs: () => number;
  readonly log: (message: string) => void;
}

/** The pipelines workers of this machine, one for each build that is in use. */
export interface BuildHost {
  /** Hosts the builds that new runs start with, from now on these. */
  hostWanted(builds: readonly Build[]): Promise<void>;
  /** Hosts builds that somebody tries, from now on these. One that does not start is none of the others' business. */
  hostTried(builds: readonly Build[]): Promise<void>;
  /** Whether a worker of a build runs here, or is being started. */
  hosts(digest: string): boolean;
  /** Hosts older builds that have open runs, and stops hosting those that have had none for a while. */
  tend(): Promise<void>;
}

/** The server's count lags behind its runs: a build is idle only when it is so for this time. */
const IDLE_MS = 60_000;

interface Hosted {
  stop?: () => void;
  idleSinceMs?: number;
}

/** Makes {@link BuildHost}. */
export function createBuildHost(deps: BuildHostDeps): BuildHost {
  const { where = 'on this machine' } = deps;
  const hosted = new Map<string, Hosted>();
  const unfit = new Set<string>();
  let wanted: ReadonlySet<string> = new Set();
  let tried: ReadonlySet<string> = new Set();
  const isAsked = (digest: string) => wanted.has(digest) || tried.has(digest);
  let missing = 0;
  const host = async (build: Build) => {
    if (hosted.has(build.digest)) return;
    const entry: Hosted = {};
    hosted.set(build.digest, entry);
    try {
      entry.stop = await deps.start(build);
    } catch (error) {
      hosted.delete(build.digest);
      throw error;
    }
  };
  const hostOne = async (build: Build) => {
    if (unfit.has(build.digest)) return;
    await host(build).catch((error: unknown) => {
      unfit.add(build.digest);
      deps.log(
        `build ${build.digest.slice(0, 12)}, which somebody tries, does not start here: ${String(error)}`,
      );
    });
  };
  const hostOlder = async () => {
    if ((await deps.countOpenRunsOutside([...hosted.keys()])) === 0) return;
    const builds = await deps.listBuilds([...hosted.keys()]);
    for (const build of builds)
      if (!hosted.has(build.digest) && (await deps.hasOpenRuns(build.digest)))
        await host(build).catch((error: unknown) =>
          deps.log(`runs of build ${build.digest.slice(0, 12)} do not go on here: ${String(error)}`),
        );
    const known = [...hosted.keys(), ...builds.map(({ digest }) => digest)];
    const found = await deps.countOpenRunsOutside([...new Set(known)]);
    if (found > 0 && found !== missing)
      deps.log(
        `${found} open ${found === 1 ? 'run does' : 'runs do'} not go on here: the build is not ${where}. Start a worker where it is, or cancel what is not wanted.`,
      );
    missing = found;
  };
  return {
    hostWanted: async (builds) => {
      wanted = new Set(builds.map(({ digest }) => digest));
      for (const build of builds) await host(build);
    },
    hostTried: async (builds) => {
      tried = new Set(builds.map(({ digest }) => digest));
      for (const build of builds) await hostOne(build);
    },
    hosts: (digest) => hosted.has(digest),
    tend: async () => {
      await hostOlder();
      await retireIdle(deps, hosted, isAsked);
    },
  };
}

/** Stops what nobody asks for and no run has used for a while. */
async function retireIdle(
  deps: BuildHostDeps,
  hosted: Map<string, Hosted>,
  isAsked: (digest: string) => boolean,
): Promise<void> {
  for (const [digest, entry] of [...hosted]) {
    if (isAsked(digest) || entry.stop === undefined) continue;
    const isIdle = !(await deps.hasOpenRuns(digest));
    // It may have become wanted while the server was asked.
    if (!isIdle || isAsked(digest)) delete entry.idleSinceMs;
    else if (deps.nowMs() - (entry.idleSinceMs ??= deps.nowMs()) >= IDLE_MS) {
      hosted.delete(digest);
      entry.stop();
    }
  }
}
