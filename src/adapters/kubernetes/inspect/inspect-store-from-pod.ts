import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';

import type { V1ContainerStatus, V1Job, V1Pod } from '@kubernetes/client-node';
import { readLastMessage } from '../../../core/pod-last-message.js';
import { KubernetesApiError } from '../api-error.js';
import { refusalOf } from '../api-refusal.js';
import { createKubernetesApi, type KubernetesApi } from '../api.js';
import { containerStatus } from '../diagnosis/pod-facts.js';
import { buildProbeJob, PROBE_CONTAINER } from './build-probe-job.js';
import type { ClusterFinding, InspectedStore, Inspection } from './inspection.js';

/**
 * Looks at the store from inside of a pod, as `fetch` and `agent` of every attempt reach it: by a Job that lists, writes, reads and removes an
 * object, and is removed again. This machine may reach a store that pods do not, and with other credentials.
 */
export async function inspectStoreFromPod(inspection: Inspection): Promise<ClusterFinding[]> {
  const { store, settings, connection, transport } = inspection;
  if (store === undefined || settings.store === undefined) return [];
  const api = createKubernetesApi(transport, connection.namespace);
  const [pool] = [...inspection.pools].sort((a, b) => a.gpu - b.gpu);
  const name = `anneal-doctor-${randomBytes(5).toString('hex')}`;
  const job = await create(api, buildProbeJob(inspection, { name, pool, store }));
  if (job instanceof KubernetesApiError)
    return [{ name: NAME, level: 'error', found: refusalOf(job, connection.namespace).message }];
  try {
    const deadline = performance.now() + (inspection.podPatienceMs ?? PATIENCE_MS);
    for (;;) {
      const [pod] = await api.listPods({ labelSelector: `batch.kubernetes.io/job-name=${name}` });
      const finding = pod && judge(inspection, store, pod);
      if (finding !== undefined) return [{ name: NAME, ...finding }];
      if (performance.now() > deadline) return [{ name: NAME, ...(await judgeWait(api, { job, pod })) }];
      await delay(LOOK_MS);
    }
  } finally {
    await api.deleteJob(name, { uid: job.metadata?.uid ?? '' });
  }
}

const NAME = 'Store from a pod';
/** A node, an image and 30 s for the store. */
const PATIENCE_MS = 90_000;
const LOOK_MS = 500;

type Judgement = Omit<ClusterFinding, 'name'>;

async function create(api: KubernetesApi, job: V1Job): Promise<V1Job | KubernetesApiError> {
  try {
    return await api.createJob(job);
  } catch (error) {
    if (error instanceof KubernetesApiError) return error;
    throw error;
  }
}

/** `undefined`: it is not known yet. */
function judge(inspection: Inspection, store: InspectedStore, pod: V1Pod): Judgement | undefined {
  const status = containerStatus(pod, PROBE_CONTAINER);
  if (status?.state?.terminated !== undefined) return judgeEnd(inspection, store, status);
  if (pod.status?.phase === 'Failed')
    return {
      level: 'error',
      found: `the pod failed: ${pod.status.message ?? pod.status.reason ?? 'Kubernetes does not say why'}`,
      mend: `kubectl -n ${inspection.connection.namespace} get events`,
    };
  const { reason = '', message = '' } = status?.state?.waiting ?? {};
  if (/ImagePull|InvalidImageName|ErrImage|RegistryUnavailable/.test(reason))
    return {
      level: 'error',
      found: `the image "${inspection.settings.image}" cannot be pulled: ${message || reason}`,
      mend: 'Correct kubernetes.image in anneal.yaml, or give the pools imagePullSecrets of a registry that needs a login.',
    };
  if (reason === 'CreateContainerConfigError')
    return {
      level: 'error',
      found: `the container cannot be made: ${message || reason}`,
      mend: 'Make what it names, or correct kubernetes.store in anneal.yaml.',
    };
  return undefined;
}

function judgeEnd(
  { settings, connection }: Inspection,
  store: InspectedStore,
  status: V1ContainerStatus,
): Judgement {
  const { exitCode, message = '', reason = '' } = status.state?.terminated ?? {};
  if (exitCode === 0)
    return { level: 'ok', found: `lists, writes, reads and removes objects of ${store.uri}` };
  const failure = readLastMessage(message);
  if (failure === undefined)
    return {
      level: 'error',
      found: `the image "${settings.image}" does not look at the store (${reason}, exit code ${exitCode}): ${lastLine(message)}`,
      mend: "Set kubernetes.image to Anneal's image of the version that the workers have.",
    };
  return {
    level: 'error',
    found: failure.message,
    mend:
      failure.code === 'StoreUnavailable'
        ? `Pods of namespace "${connection.namespace}" have to reach it: look at network policies, DNS, and s3.endpoint as a pod sees it.`
        : `Pods have ${credentialsOf(settings)}, not what is in your environment: correct that, or store and s3 in anneal.yaml.`,
  };
}

function credentialsOf({ store }: Inspection['settings']): string {
  if (store && 'secret' in store) return `the credentials of the Secret "${store.secret}"`;
  return `a token of the account "${store?.serviceAccount ?? 'default'}" for "${store?.audience ?? ''}"`;
}

/** What keeps it from starting, in the words of who does. */
async function judgeWait(
  api: KubernetesApi,
  { job, pod }: { readonly job: V1Job; readonly pod: V1Pod | undefined },
): Promise<Judgement> {
  const uid = (pod ?? job).metadata?.uid ?? '';
  const events = await api.listEvents({ involvedUid: uid }).catch(() => []);
  const unscheduled = pod?.status?.conditions?.find(
    ({ type, status }) => type === 'PodScheduled' && status === 'False',
  );
  const said = unscheduled?.message ?? events.at(-1)?.message ?? 'Kubernetes does not say why';
  return {
    level: 'warning',
    found: `nothing is known: ${pod === undefined ? 'no pod was made' : 'the pod did not start'} (${said})`,
    mend: 'Attempts would wait like it; mend what is said there, or look again later.',
  };
}

function lastLine(text: string): string {
  return (
    text
      .trim()
      .split('\n')
      .findLast((line) => line.trim() !== '')
      ?.trim() ?? 'it said nothing'
  );
}
