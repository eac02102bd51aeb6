import type { CoreV1Event, V1Job, V1Node, V1Pod } from '@kubernetes/client-node';
import { KubernetesApiError } from './api-error.js';
import { readEventTimes, readTimes } from './api-times.js';
import type { ApiRequest, ApiTransport } from './api-transport.js';
import type { KueueWorkload } from './diagnosis/kueue-workload.js';
import { FOREIGN_LABELS } from './labels.js';

/** The object that is meant, and no other of its name: another uid counts as gone. */
export interface MeantObject {
  readonly uid: string;
}

/** Which objects of the namespace. */
export interface ListOptions {
  readonly labelSelector: string;
}

/** Which lines of a container's log. */
export interface LogOptions {
  readonly tailLines: number;
  readonly limitBytes: number;
}

/** The Kubernetes API of one namespace, as far as Anneal uses it. Every failure is a KubernetesApiError. */
export interface KubernetesApi {
  readonly namespace: string;
  /** Unknown fields are refused. A create whose answer was lost is sent again: `AlreadyExists` may mean the caller's own. */
  createJob(job: V1Job, options?: { readonly dryRun?: boolean }): Promise<V1Job>;
  /** `undefined`: there is none. */
  readJob(name: string): Promise<V1Job | undefined>;
  /** Its pods go in the background, with their own grace. One that is gone is fine. */
  deleteJob(name: string, meant: MeantObject): Promise<void>;
  /** One that is gone is fine. */
  deletePod(name: string, meant: MeantObject & { readonly graceSeconds: number }): Promise<void>;
  listJobs(options: ListOptions): Promise<readonly V1Job[]>;
  listPods(options: ListOptions): Promise<readonly V1Pod[]>;
  /** Newest last. */
  listEvents(about: { readonly involvedUid: string }): Promise<readonly CoreV1Event[]>;
  /** What Kueue keeps of a Job; nothing where there is no Kueue, or where this account may not see it. */
  listWorkloads(of: { readonly jobUid: string }): Promise<readonly KueueWorkload[]>;
  /** `undefined`: the container has no log, because it or its pod never ran or is gone. */
  readPodLog(pod: string, container: string, options: LogOptions): Promise<string | undefined>;
  /** Seconds that the Job stays after its end. One that is gone is fine. */
  setJobTtl(name: string, uid: string, seconds: number): Promise<void>;
  /** Whether this account may do it in the namespace. */
  reviewAccess(verb: string, resource: string, subresource?: string): Promise<boolean>;
  /** `undefined`: there is none, or this account may not see nodes. */
  readNode(name: string): Promise<V1Node | undefined>;
  /** Ends the connections. */
  close(): Promise<void>;
}

/** Binds a transport to a namespace. */
export function createKubernetesApi(transport: ApiTransport, namespace: string): KubernetesApi {
  const jobs = `/apis/batch/v1/namespaces/${encodeURIComponent(namespace)}/jobs`;
  const core = `/api/v1/namespaces/${encodeURIComponent(namespace)}`;
  const job = (name: string) => `${jobs}/${encodeURIComponent(name)}`;
  const pod = (name: string) => `${core}/pods/${encodeURIComponent(name)}`;
  return {
    namespace,
    createJob: async (body, { dryRun = false } = {}) => {
      const query = { fieldValidation: 'Strict', ...(dryRun ? { dryRun: 'All' } : {}) };
      return readObject<V1Job>(await transport.request({ method: 'POST', path: jobs, query, body }));
    },
    readJob: async (name) =>
      await orUndefined([404], async () =>
        readObject<V1Job>(await transport.request({ method: 'GET', path: job(name) })),
      ),
    deleteJob: async (name, { uid }) => {
      const body = { ...DELETE, propagationPolicy: 'Background', preconditions: { uid } };
      await orUndefined(
        GONE,
        async () => await transport.request({ method: 'DELETE', path: job(name), body }),
      );
    },
    deletePod: async (name, { uid, graceSeconds }) => {
      const body = { ...DELETE, gracePeriodSeconds: graceSeconds, preconditions: { uid } };
      await orUndefined(
        GONE,
        async () => await transport.request({ method: 'DELETE', path: pod(name), body }),
      );
    },
    listJobs: async (options) => await listAll<V1Job>(transport, { path: jobs, query: { ...options } }),
    listPods: async (options) =>
      await listAll<V1Pod>(transport, { path: `${core}/pods`, query: { ...options } }),
    listEvents: async ({ involvedUid }) => {
      const query = { fieldSelector: `involvedObject.uid=${involvedUid}` };
      const found = await listAll<CoreV1Event>(transport, { path: `${core}/events`, query });
      return found.map(readEventTimes).sort((a, b) => timeOf(a) - timeOf(b));
    },
    listWorkloads: async ({ jobUid }) => await listWorkloads(transport, { namespace, jobUid }),
    readPodLog: async (name, container, { tailLines, limitBytes }) =>
      await orUndefined([400, 404], async () => {
        const query = { container, tailLines, limitBytes };
        return await transport.request({ method: 'GET', path: `${pod(name)}/log`, query, accept: '*/*' });
      }),
    setJobTtl: async (name, uid, seconds) => {
      const body = { metadata: { uid }, spec: { ttlSecondsAfterFinished: seconds } };
      const asked = { method: 'PATCH', path: job(name), body, contentType: MERGE_PATCH } as const;
      await orUndefined(isOfAnother, async () => await transport.request(asked));
    },
    reviewAccess: async (verb, resource, subresource) =>
      await reviewAccess(transport, { namespace, verb, resource, ...(subresource && { subresource }) }),
    readNode: async (name) =>
      await orUndefined([403, 404], async () => {
        const path = `/api/v1/nodes/${encodeURIComponent(name)}`;
        return readObject<V1Node>(await transport.request({ method: 'GET', path }));
      }),
    close: async () => await transport.close(),
  };
}

const DELETE = { apiVersion: 'v1', kind: 'DeleteOptions' };

const MERGE_PATCH = 'application/merge-patch+json';

/** Answers that mean: the object of that uid is not there. A conflict on a delete is one of the precondition. */
const GONE = [404, 409];

/** What is in a namespace, or, without one, in the cluster. */
export interface AccessQuestion {
  readonly namespace?: string;
  readonly verb: string;
  readonly group?: string;
  readonly resource: string;
  readonly subresource?: string;
}

/** Asks whether this account may do something; groups that Anneal uses need not be named. */
export async function reviewAccess(
  transport: Pick<ApiTransport, 'request'>,
  question: AccessQuestion,
): Promise<boolean> {
  const { resource, group = GROUPS[resource] ?? '' } = question;
  const answer = await transport.request({
    method: 'POST',
    path: '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
    body: {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SelfSubjectAccessReview',
      spec: { resourceAttributes: { ...question, group } },
    },
  });
  const { status } = JSON.parse(answer) as { readonly status?: { readonly allowed?: boolean } };
  return status?.allowed === true;
}

const GROUPS: { readonly [resource: string]: string } = { jobs: 'batch', workloads: 'kueue.x-k8s.io' };

/** One page of a list. */
export interface ListPage<T> {
  readonly items: readonly T[];
  readonly resourceVersion: string;
  /** Token of the next page. */
  readonly next?: string;
}

const PAGE = 500;

/** Reads one page of a list. Objects come without `managedFields`, which are half of their bytes. */
export async function listPage<T extends object>(
  transport: Pick<ApiTransport, 'request'>,
  asked: Pick<ApiRequest, 'path' | 'query' | 'signal' | 'tries'> & { readonly from?: string },
): Promise<ListPage<T>> {
  const { from, query, ...rest } = asked;
  const answer = await transport.request({
    ...rest,
    method: 'GET',
    query: { ...query, limit: PAGE, ...(from === undefined ? {} : { continue: from }) },
  });
  const { metadata, items } = JSON.parse(answer) as {
    readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string };
    readonly items?: T[];
  };
  return {
    items: (items ?? []).map(trim),
    resourceVersion: metadata?.resourceVersion ?? '0',
    ...(metadata?.continue ? { next: metadata.continue } : {}),
  };
}

async function listAll<T extends object>(
  transport: ApiTransport,
  asked: Pick<ApiRequest, 'path' | 'query'>,
): Promise<readonly T[]> {
  const items: T[] = [];
  for (let from: string | undefined; ;) {
    const page = await listPage<T>(transport, { ...asked, ...(from === undefined ? {} : { from }) });
    items.push(...page.items);
    from = page.next;
    if (from === undefined) return items;
  }
}

/** The newest first; what Anneal reads is the same in both. */
const KUEUE_VERSIONS = ['v1beta2', 'v1beta1'];

async function listWorkloads(
  transport: ApiTransport,
  { namespace, jobUid }: { readonly namespace: string; readonly jobUid: string },
): Promise<readonly KueueWorkload[]> {
  const query = { labelSelector: `${FOREIGN_LABELS.kueueJobUid}=${jobUid}` };
  for (const version of KUEUE_VERSIONS) {
    const path = `/apis/kueue.x-k8s.io/${version}/namespaces/${encodeURIComponent(namespace)}/workloads`;
    const list = async () => await listAll<KueueWorkload>(transport, { path, query });
    const found = await orUndefined([403, 404], list);
    if (found) return found;
  }
  return [];
}

/** An object as the rest of the program has it: times as dates, nothing of who managed which field. */
export function trim<T extends object>(object: T): T {
  const { metadata } = object as { readonly metadata?: { managedFields?: unknown } };
  if (metadata) delete metadata.managedFields;
  return readTimes(object);
}

function readObject<T extends object>(text: string): T {
  return trim(JSON.parse(text) as T);
}

function timeOf({ lastTimestamp, eventTime, metadata }: CoreV1Event): number {
  const time = lastTimestamp ?? eventTime ?? metadata.creationTimestamp;
  return time === undefined || time === null ? 0 : new Date(time).getTime();
}

/** A patch with a uid is refused as one that changes it, where the object is gone or has another. */
function isOfAnother({ status, causes }: KubernetesApiError): boolean {
  return GONE.includes(status) || (status === 422 && causes.some(({ field }) => field === 'metadata.uid'));
}

/** `undefined` where the failure means that there is nothing. */
async function orUndefined<T>(
  means: readonly number[] | ((error: KubernetesApiError) => boolean),
  work: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof KubernetesApiError)) throw error;
    if (typeof means === 'function' ? means(error) : means.includes(error.status)) return undefined;
    throw error;
  }
}
