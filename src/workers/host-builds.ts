import type { Build } from './build/build-manifest.js';

/** What {@link createBuildHost} needs to know and to do. */
export interface BuildHostDeps {
  /** Builds on this machine's disk. */
  readonly listBuilds: () => Promise<readonly Build[]>;
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
  const hosted = new Map<string, Hosted>();
  let wanted: ReadonlySet<string> = new Set();
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
  const hostOlder = async () => {
    if ((await deps.countOpenRunsOutside([...hosted.keys()])) === 0) return;
    const builds = await deps.listBuilds();
    for (const build of builds)
      if (!hosted.has(build.digest) && (await deps.hasOpenRuns(build.digest)))
        await host(build).catch((error: unknown) =>
          deps.log(`runs of build ${build.digest.slice(0, 12)} do not go on here: ${String(error)}`),
        );
    const found = await deps.countOpenRunsOutside(builds.map(({ digest }) => digest));
    if (found > 0 && found !== missing)
      deps.log(
        `${found} open ${found === 1 ? 'run does' : 'runs do'} not go on here: the build is not on this machine. Start a worker where it is, or cancel what is not wanted.`,
      );
    missing = found;
  };
  const retireIdle = async () => {
    for (const [digest, entry] of [...hosted]) {
      if (wanted.has(digest) || entry.stop === undefined) continue;
      const isIdle = !(await deps.hasOpenRuns(digest));
      // It may have become wanted while the server was asked.
      if (!isIdle || wanted.has(digest)) delete entry.idleSinceMs;
      else if (deps.nowMs() - (entry.idleSinceMs ??= deps.nowMs()) >= IDLE_MS) {
        hosted.delete(digest);
        entry.stop();
      }
    }
  };
  return {
    hostWanted: async (builds) => {
      wanted = new Set(builds.map(({ digest }) => digest));
      for (const build of builds) await host(build);
    },
    tend: async () => {
      await hostOlder();
      await retireIdle();
    },
  };
}
