import { setTimeout as wait } from 'node:timers/promises';
import { errorOfAnswer, errorOfConnection, KubernetesApiError } from './api-error.js';
import { listPage, trim } from './api.js';
import type { ApiTransport } from './api-transport.js';
import { CutStreamError, readLines } from './reflector-lines.js';

/** What a reflector keeps current. */
export interface ReflectorSink<T> {
  /** All there is, as of a version. */
  replace(items: readonly T[], resourceVersion: string): void;
  put(item: T): void;
  drop(item: T): void;
}

/** Times of a reflector; in milliseconds. */
export interface ReflectorTimes {
  /** A watch without a byte for so long is taken for dead: API servers send a bookmark each minute. */
  readonly idleMs: number;
  /** The server ends each watch after this and up to a quarter more. */
  readonly watchMs: number;
  /** All is listed again after so long, should ever an event have been lost. */
  readonly relistMs: number;
  readonly firstPauseMs: number;
  readonly longestPauseMs: number;
}

/** What {@link createReflector} takes. */
export interface ReflectorDeps<T> {
  readonly transport: Pick<ApiTransport, 'request' | 'stream'>;
  /** Path of the list, such as `/api/v1/namespaces/x/pods`. */
  readonly path: string;
  readonly labelSelector: string;
  readonly sink: ReflectorSink<T>;
  readonly times?: Partial<ReflectorTimes>;
  readonly random?: () => number;
  /** Called with what went wrong; it is tried again in any case. */
  readonly onProblem: (problem: Error) => void;
}

/** One list-and-watch. */
export interface Reflector {
  start(): void;
  stop(): Promise<void>;
  /** See AttemptWatcher.ready. */
  ready(signal?: AbortSignal): Promise<void>;
  /** Since when no watch is open; `undefined`: one is. */
  readonly brokenSinceMs: number | undefined;
}

const TIMES: ReflectorTimes = {
  idleMs: 90_000,
  watchMs: 240_000,
  relistMs: 600_000,
  firstPauseMs: 500,
  longestPauseMs: 30_000,
};

/**
 * Lists, then watches from where the list was; after a broken watch it goes on from the last event, and lists again where the server has
 * forgotten that place. Nothing ends it but `stop`.
 */
export function createReflector<T extends object>(deps: ReflectorDeps<T>): Reflector {
  const times = { ...TIMES, ...deps.times };
  const random = deps.random ?? Math.random;
  const gate = createGate();
  let ending: AbortController | undefined;
  let running: Promise<void> = Promise.resolve();
  let brokenSinceMs: number | undefined = performance.now();

  const run = async (signal: AbortSignal) => {
    let place: Place | undefined;
    for (let failures = 0; !signal.aborted;) {
      let problem: Error | undefined;
      const before = performance.now();
      let events = 0;
      try {
        if (
          place === undefined ||
          performance.now() - place.listedAt > times.relistMs * (0.75 + random() / 2)
        )
          place = await list(deps, signal);
        gate.open();
        for await (const event of watch(deps, { times, random, place, signal })) {
          brokenSinceMs = undefined;
          place.version = apply(deps, event) ?? place.version;
          if (event.type !== 'OPEN') events++;
        }
      } catch (error) {
        if (signal.aborted) return;
        problem = toProblem(error, deps.path);
        if (forgetsPlace(problem)) place = undefined;
        gate.fail(problem);
        deps.onProblem(problem);
      }
      brokenSinceMs ??= performance.now();
      // One that the server ended in its time is opened again at once; one that it ends at once would make a loop.
      const lived = events > 0 || performance.now() - before > times.firstPauseMs * 2;
      failures = lived ? (problem === undefined ? 0 : 1) : failures + 1;
      await pauseAfter({ failures, problem, times, random, signal });
    }
  };

  return {
    start: () => {
      if (ending) return;
      ending = new AbortController();
      running = run(ending.signal);
    },
    stop: async () => {
      ending?.abort();
      await running;
    },
    ready: async (signal) => await gate.wait(signal),
    get brokenSinceMs() {
      return brokenSinceMs;
    },
  };
}

interface Failed {
  readonly failures: number;
  readonly problem: Error | undefined;
  readonly times: ReflectorTimes;
  readonly random: () => number;
  readonly signal: AbortSignal;
}

/** Exponential with full jitter, and never sooner than the server asks. */
async function pauseAfter({ failures, problem, times, random, signal }: Failed): Promise<void> {
  if (failures === 0) return;
  const backOff = random() * Math.min(times.firstPauseMs * 2 ** (failures - 1), times.longestPauseMs);
  const asked = problem instanceof KubernetesApiError ? (problem.retryAfterMs ?? 0) : 0;
  const ms = Math.max(backOff, Math.min(asked, times.longestPauseMs * 2));
  await wait(ms, undefined, { signal, ref: false }).catch(() => undefined);
}

/** Where the next watch starts. */
interface Place {
  version: string;
  readonly listedAt: number;
}

async function list<T extends object>(deps: ReflectorDeps<T>, signal: AbortSignal): Promise<Place> {
  const { transport, path, labelSelector, sink } = deps;
  const items: T[] = [];
  for (let from: string | undefined; ;) {
    const asked = { path, query: { labelSelector }, signal, tries: 1 };
    const page = await listPage<T>(transport, { ...asked, ...(from === undefined ? {} : { from }) });
    items.push(...page.items);
    from = page.next;
    if (from !== undefined) continue;
    sink.replace(items, page.resourceVersion);
    return { version: page.resourceVersion, listedAt: performance.now() };
  }
}

interface WatchEvent {
  readonly type: string;
  readonly object: object & { readonly metadata?: { readonly resourceVersion?: string } };
}

interface Watching {
  readonly times: ReflectorTimes;
  readonly random: () => number;
  readonly place: Place;
  readonly signal: AbortSignal;
}

/** Events of one watch; the first, `OPEN`, says that the server has taken it. */
async function* watch<T extends object>(
  { transport, path, labelSelector }: ReflectorDeps<T>,
  { times, random, place, signal }: Watching,
): AsyncGenerator<WatchEvent> {
  const query = {
    labelSelector,
    watch: true,
    allowWatchBookmarks: true,
    resourceVersion: place.version,
    timeoutSeconds: Math.max(1, Math.round((times.watchMs / 1000) * (1 + random() / 4))),
  };
  const stream = await transport.stream({ method: 'GET', path, query, signal }, { idleMs: times.idleMs });
  yield { type: 'OPEN', object: {} };
  for await (const line of readLines(stream)) {
    const event = JSON.parse(line) as WatchEvent;
    if (event.type === 'ERROR') throw errorOfEvent(event.object);
    yield event;
  }
}

/** @returns the version after the event. */
function apply<T extends object>({ sink }: ReflectorDeps<T>, event: WatchEvent): string | undefined {
  const version = event.object.metadata?.resourceVersion;
  switch (event.type) {
    case 'ADDED':
    case 'MODIFIED':
      sink.put(trim(event.object as T));
      return version;
    case 'DELETED':
      sink.drop(event.object as T);
      return version;
    default:
      return version;
  }
}

function errorOfEvent(status: object): KubernetesApiError {
  const { code } = status as { readonly code?: number };
  return errorOfAnswer({ status: code ?? 500, body: JSON.stringify(status), asked: 'watch' });
}

function toProblem(error: unknown, path: string): Error {
  if (error instanceof CutStreamError || error instanceof SyntaxError) return error;
  return errorOfConnection(error, `WATCH ${path}`);
}

/** The server no longer knows the place, or it is in doubt what was sent. After a cut the same place is right. */
function forgetsPlace(problem: Error): boolean {
  if (problem instanceof CutStreamError) return false;
  return problem instanceof KubernetesApiError
    ? problem.status === 410 || problem.reason === 'Expired' || problem.status === 400
    : problem instanceof SyntaxError;
}

/** What `ready` waits for: opened once by the first list, and failed by each refusal before that. */
function createGate() {
  let opened = false;
  let refused: Error | undefined;
  const waiting: { readonly resolve: () => void; readonly reject: (error: Error) => void }[] = [];
  return {
    open: () => {
      opened = true;
      for (const { resolve } of waiting.splice(0)) resolve();
    },
    fail: (problem: Error) => {
      if (opened || (problem instanceof KubernetesApiError && problem.transient)) return;
      refused = problem;
      for (const { reject } of waiting.splice(0)) reject(problem);
    },
    wait: async (signal?: AbortSignal) => {
      signal?.throwIfAborted();
      if (opened) return;
      const last = refused;
      refused = undefined;
      if (last) throw last;
      let abort: () => void = () => undefined;
      const waiter = new Promise<void>((resolve, reject) => {
        const one = { resolve, reject };
        waiting.push(one);
        abort = () => {
          if (waiting.includes(one)) waiting.splice(waiting.indexOf(one), 1);
          resolve();
        };
        signal?.addEventListener('abort', abort);
      });
      try {
        await waiter;
      } finally {
        signal?.removeEventListener('abort', abort);
      }
      signal?.throwIfAborted();
    },
  };
}
