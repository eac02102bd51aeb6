import type { CoreV1Event, V1Job, V1Node, V1Pod } from '@kubernetes/client-node';

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
