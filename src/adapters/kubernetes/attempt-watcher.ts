import type { V1Job, V1Pod } from '@kubernetes/client-node';
import type { ApiTransport } from './api-transport.js';
import { FOREIGN_LABELS } from './labels.js';
import { createObjectCache } from './reflector-cache.js';
import { createReflector, type ReflectorTimes } from './reflector.js';

/** What is known of an attempt. */
export interface AttemptView {
  readonly job?: V1Job;
  /** Oldest first; usually one. */
  readonly pods: readonly V1Pod[];
}

/** The Jobs and Pods of a project, kept current by one list-and-watch each. */
export interface AttemptWatcher {
  start(): void;
  /** Resolves when nothing of it runs any more. */
  stop(): Promise<void>;
  /**
   * Resolves when Jobs and Pods have been listed once. @throws KubernetesApiError when the first list is refused for good. @throws the signal's
   * reason.
   */
  ready(signal?: AbortSignal): Promise<void>;
  view(jobName: string): AttemptView;
  /** Every Job that is known. */
  jobs(): readonly V1Job[];
  /** Calls on every change of the Job or a pod of it, and after each new list. Never throws into the watch. @returns what ends it. */
  onChange(jobName: string, listener: () => void): () => void;
  /** Puts in the answer of a create or read, so that an attempt is never thought gone because the watch lags. */
  seen(job: V1Job): void;
  /** Jobs that somebody listens to. */
  readonly watchedJobs: number;
  /** 0 while both watches are open, else the time since the first of them broke. */
  readonly lagMs: number;
}

/** What {@link createAttemptWatcher} takes. */
export interface AttemptWatcherDeps {
  readonly transport: Pick<ApiTransport, 'request' | 'stream'>;
  readonly namespace: string;
  /** Selects the Jobs and Pods, usually all of a project. */
  readonly labelSelector: string;
  /** Called with what went wrong with the API, and with what a listener threw. Nothing of it ends the watch. */
  readonly onProblem: (problem: Error) => void;
  readonly times?: Partial<ReflectorTimes>;
  readonly random?: () => number;
}

/** Puts a watcher together; `start` makes it look. */
export function createAttemptWatcher(deps: AttemptWatcherDeps): AttemptWatcher {
  const listeners = createListeners(deps.onProblem);
  const jobs = createObjectCache<V1Job>({
    groupOf: nameOf,
    onChange: listeners.call,
    onReplaced: listeners.callAll,
  });
  const pods = createObjectCache<V1Pod>({
    groupOf: jobNameOf,
    onChange: listeners.call,
    onReplaced: listeners.callAll,
  });
  const namespace = encodeURIComponent(deps.namespace);
  const reflectors = [
    createReflector<V1Job>({ ...deps, path: `/apis/batch/v1/namespaces/${namespace}/jobs`, sink: jobs }),
    createReflector<V1Pod>({ ...deps, path: `/api/v1/namespaces/${namespace}/pods`, sink: pods }),
  ];
  return {
    start: () => reflectors.forEach((reflector) => reflector.start()),
    stop: async () => void (await Promise.all(reflectors.map(async (reflector) => await reflector.stop()))),
    ready: async (signal) =>
      void (await Promise.all(reflectors.map(async (reflector) => await reflector.ready(signal)))),
    view: (jobName) => {
      const job = jobs.group(jobName).at(-1);
      return { ...(job && { job }), pods: [...pods.group(jobName)].sort((a, b) => bornAt(a) - bornAt(b)) };
    },
    jobs: () => jobs.all(),
    onChange: (jobName, listener) => listeners.add(jobName, listener),
    seen: (job) => jobs.put(job),
    get watchedJobs() {
      return listeners.names;
    },
    get lagMs() {
      const broken = reflectors.flatMap(({ brokenSinceMs }) => brokenSinceMs ?? []);
      return broken.length === 0 ? 0 : performance.now() - Math.min(...broken);
    },
  };
}

function nameOf({ metadata }: V1Job): string {
  return metadata?.name ?? '';
}

/** Name of the Job that made a pod. */
function jobNameOf({ metadata }: V1Pod): string {
  return metadata?.labels?.[FOREIGN_LABELS.jobName] ?? '';
}

function bornAt({ metadata }: V1Pod): number {
  return metadata?.creationTimestamp === undefined ? 0 : new Date(metadata.creationTimestamp).getTime();
}

/** Listeners by the name of the Job. What one throws, or rejects with, is told and goes no further. */
function createListeners(onProblem: (problem: Error) => void) {
  const byName = new Map<string, Set<() => void>>();
  const tell = (error: unknown) => onProblem(error instanceof Error ? error : new Error(String(error)));
  const call = (name: string) => {
    for (const listener of [...(byName.get(name) ?? [])]) {
      try {
        const answer: unknown = listener();
        if (answer instanceof Promise) answer.catch(tell);
      } catch (error) {
        tell(error);
      }
    }
  };
  return {
    call,
    callAll: () => [...byName.keys()].forEach(call),
    add: (name: string, listener: () => void) => {
      // A function may be given twice; each is ended by itself.
      const own = () => listener();
      const set = byName.get(name) ?? new Set();
      byName.set(name, set.add(own));
      return () => {
        set.delete(own);
        if (set.size === 0 && byName.get(name) === set) byName.delete(name);
      };
    },
    get names() {
      return byName.size;
    },
  };
}
