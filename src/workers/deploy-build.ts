import { setTimeout as wait } from 'node:timers/promises';
import { AnnealError } from '../core/failures.js';
import type { Routing } from './current-build.js';
import type { Build } from './build/build-manifest.js';

/** Where the workers of a project get builds from, and what new runs are to use. */
export interface BuildPlace {
  /** Puts a build where every worker of the project can read it; what is there already stays. */
  ship(build: Build): Promise<void>;
  readRouting(): Promise<Routing | undefined>;
  /** Changes what new runs are to use: of two at once, the later one knows the earlier. @returns what was written. */
  changeRouting(change: (before: Routing | undefined) => Routing): Promise<Routing>;
  /** What to do where no worker takes a build up. */
  readonly advice: string;
}

/** What {@link deployBuild} and {@link rollBack} stand on. */
export interface DeployDeps {
  readonly place: BuildPlace;
  /** Where the server sends new runs; undefined while it knows no version of the project. */
  readonly readServerRouting: () => Promise<Routing | undefined>;
  readonly signal: AbortSignal;
  readonly nowMs: () => number;
  /** How long workers may take to host what is asked for. Default: a minute. */
  readonly patienceMs?: number;
}

/**
 * Lets new runs use a build, or a share of them, and waits until the server sends them there: a worker hosts the build then. Runs that
 * are open stay on theirs.
 * @param percent share of new runs; absent: the build becomes current.
 * @throws AnnealError WorkerUnavailable when no worker has taken it up in time: what was asked for stays asked for.
 */
export async function deployBuild(deps: DeployDeps, build: Build, percent?: number): Promise<Routing> {
  const { place } = deps;
  await place.ship(build);
  const routing = await place.changeRouting((before) => routingWith(before, build.digest, percent));
  // From here on the build is used, and stays; what was removed just before is put back.
  await place.ship(build);
  await untilRouted(deps, routing);
  return routing;
}

/**
 * Takes the last step back: ends a ramp, else makes the build current that was so before.
 * @throws AnnealError InvalidInput where there is nothing to go back to; WorkerUnavailable.
 */
export async function rollBack(deps: DeployDeps): Promise<Routing> {
  const routing = await deps.place.changeRouting(routingBefore);
  await untilRouted(deps, routing);
  return routing;
}

function routingBefore(before: Routing | undefined): Routing {
  if (before?.ramp === undefined && before?.previous === undefined)
    throw new AnnealError(
      'InvalidInput',
      'There is nothing to go back to: no share of new runs is on another build, and no other build was current here before. See: anneal versions',
    );
  const { ramp, previous, ...current } = before;
  return ramp === undefined
    ? { current: previous ?? current.current, previous: current.current }
    : { ...current, ...(previous === undefined ? {} : { previous }) };
}

function routingWith(before: Routing | undefined, digest: string, percent: number | undefined): Routing {
  if (percent !== undefined) {
    if (before === undefined || before.current === digest)
      throw new AnnealError(
        'InvalidInput',
        before === undefined
          ? 'No build is current yet, so there is nothing to take a share from. Deploy without --ramp.'
          : `Build ${digest.slice(0, 12)} is current already: all new runs use it.`,
      );
    return { ...before, ramp: { digest, percent } };
  }
  const previous = before?.current === digest ? before.previous : before?.current;
  return { current: digest, ...(previous === undefined ? {} : { previous }) };
}

/** The server keeps shares in four bytes: 33.3 comes back as 33.29999923706055. */
export function isSameRamp(one: Routing['ramp'], other: Routing['ramp']): boolean {
  if (one === undefined || other === undefined) return one === other;
  return one.digest === other.digest && Math.fround(one.percent) === Math.fround(other.percent);
}

function isSameRouting(one: Routing, other: Routing): boolean {
  return one.current === other.current && isSameRamp(one.ramp, other.ramp);
}

const PATIENCE_MS = 60_000;
const POLL_MS = 200;

async function untilRouted(deps: DeployDeps, routing: Routing): Promise<void> {
  const { current, ramp } = routing;
  const deadline = deps.nowMs() + (deps.patienceMs ?? PATIENCE_MS);
  for (;;) {
    const found = await deps.readServerRouting();
    if (found?.current === current && isSameRamp(found.ramp, ramp)) return;
    if (deps.signal.aborted)
      throw new AnnealError(
        'WorkerUnavailable',
        `Stopped waiting. Build ${(ramp?.digest ?? current).slice(0, 12)} stays asked for: new runs use it as soon as a worker hosts it. Take that back with: anneal deploy --rollback`,
        { cause: deps.signal.reason },
      );
    const asked = await deps.place.readRouting();
    if (asked !== undefined && !isSameRouting(asked, routing))
      throw new AnnealError(
        'InvalidInput',
        `Another deployment came after this one: build ${asked.current.slice(0, 12)} is to be current${asked.ramp === undefined ? '' : `, and ${asked.ramp.digest.slice(0, 12)} to take ${asked.ramp.percent} % of new runs`}. See "anneal versions", and deploy again if that is not what was meant.`,
      );
    if (deps.nowMs() > deadline)
      throw new AnnealError(
        'WorkerUnavailable',
        `No worker has taken up build ${(ramp?.digest ?? current).slice(0, 12)} yet, so new runs go where they went before. ${deps.place.advice}`,
      );
    await wait(POLL_MS, undefined, { signal: deps.signal }).catch(() => undefined);
  }
}
