import type { AttemptLaunch } from '../../activities/ports/executor.js';
import { storeKeys } from '../../core/artifact-store.js';
import { containerStatuses, hasMainEnded, said } from './diagnosis/pod-facts.js';
import type { KubernetesExecutorDeps } from './executor-deps.js';
import { shownLines } from '../attempt-files/log-tail.js';
import { CONTAINERS } from './labels.js';
import type { WatchedEnd } from './watch-job.js';

const TAIL_LINES = 20;
/** The API server cuts the end off: progress bars, which are one line of any length to it, must not take the place of what was said last. */
const LIMIT_BYTES = 1_048_576;

/**
 * The last lines of a pod that left no outcome: of its command where that ran, else of what kept it from running. What the cluster said is kept in
 * the store as well, where no log is: pods go, and events after an hour.
 */
export async function readLastLines(
  { api, store }: KubernetesExecutorDeps,
  {
    launch,
    end,
  }: { readonly launch: AttemptLaunch; readonly end: Extract<WatchedEnd, { kind: 'diagnosed' }> },
): Promise<readonly string[]> {
  const pod = end.pods.pods.at(-1);
  const { name: podName, uid = '' } = pod?.metadata ?? {};
  const container =
    pod && containerStatuses(pod).findLast(({ state }) => state?.running ?? state?.terminated)?.name;
  const text =
    podName === undefined || container === undefined || end.pods.gone.has(uid)
      ? undefined
      : await api
          .readPodLog(podName, container, { tailLines: TAIL_LINES, limitBytes: LIMIT_BYTES })
          .catch(() => undefined);
  const lines = shownLines(text ?? '').filter((line) => line !== '' && !LOST_CONTAINER.test(line));
  const ran = pod !== undefined && (hasMainEnded(pod) || container === CONTAINERS.main);
  if (!ran) {
    const report = [
      `${end.failure.code}: ${end.failure.message}`,
      ...(pod
        ? containerStatuses(pod).flatMap(({ name, state }) => {
            const { waiting, terminated } = state ?? {};
            const reason = waiting?.reason ?? terminated?.reason;
            return reason === undefined
              ? []
              : [`container ${name}: ${reason} ${said(waiting?.message ?? terminated?.message)}`.trim()];
          })
        : []),
      ...end.events.map(
        ({ type, reason, message }) => `event ${type ?? ''} ${reason ?? ''}: ${said(message)}`,
      ),
      ...lines.map((line) => `${container ?? ''}: ${line}`),
    ];
    const key = storeKeys.log(launch.request.executionId, launch.name);
    await store.putBytes(key, Buffer.from(`${report.join('\n')}\n`), { ifAbsent: true });
    return report.slice(-TAIL_LINES);
  }
  return lines.slice(-TAIL_LINES);
}

/** The kubelet writes into the answer what befell it. */
const LOST_CONTAINER = /^rpc error: code = \w+ .*(container|try to find)/;
