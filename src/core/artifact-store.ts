import type { FileEntry } from './artifacts.js';

/** One stored object. */
export interface StoredObject {
  readonly key: string;
  readonly uri: string;
  readonly sizeBytes: number;
  readonly modifiedAtMs: number;
  /** Changes when the contents do; absent where the store keeps none, as file systems do. */
  readonly etag?: string;
}

/**
 * Where bytes live: artifacts, manifests, cache index, logs, run records, large payloads. Keys are relative, `/`-separated, without
 * `.` or `..` segments. An object is visible whole or not at all; the last writer wins unless `ifAbsent` is asked.
 *
 * Layout (each caller builds its keys with {@link storeKeys}):
 * - `runs/<execution id>/attempts/<attempt name>/outputs/<output>/...`, `.../manifest.json`, `.../logs/output.log`
 * - of an attempt that is a pod, beside those: `.../launch.json`, `.../commands/<id>.{asked,delivered,answered}.json` where people sent it some,
 *   `.../pods/<pod uid>/{outputs/...,manifest.json,outcome.json}`, and while it
 *   runs its log and its stream of metrics in pieces, `.../{logs,metrics}/<pod uid>/<8 digits>`
 * - `runs/<execution id>/checkpoints/<call id>/<attempt name>/<sequence>-<entry>/files/...` and `.../checkpoint.json`, written last
 * - `runs/<execution id>/datasets/<digest>.json`: the objects of a dataset outside the store, as the run pinned them
 * - `runs/<execution id>/journal.json` of a run that did not complete: what a retry takes up
 * - `runs/<execution id>/run.json`, `runs/<execution id>/notifications/<id>.json`
 * - `cache/<step>/<key>/<generation>/{claim,entry,closed}.json` (see `core/claims.ts`) · `payloads/<day>/<sha256>` · `builds/<digest>/...`, its `manifest.json` written last
 * - `deployments/<project>/{routing/<8 digits>.json,wanted/<digest>.json}`: which builds new runs used, the highest number now, and which others workers host for a while
 * - `uses/<execution id>/<attempt name>/<run id, escaped>.<epoch>.json`: that run took that attempt's result from the cache
 * - `triggers/<project>/active.json`, `triggers/<project>/<pipeline>/<trigger>/{mark,fired/<event>}.json`: from when on triggers count, and which events started runs
 * - `partitions/<project>/<pipeline>/<key, escaped>.json`: the run that made a partition last
 * - `schedules/<project>/<pipeline>/{account.json,definitions/<digest>.json,skipped/<time>.json}`: which times passed without a run, and why
 * - `holds/{run,model}/<name, escaped>.json` · `gc/...` (see `core/retention.ts`)
 * - `lineage/...` (see `core/lineage.ts`): what came from what. Small objects (a pointer holds less than 300 bytes, a step's record mostly 1 to
 *   8 KB), each written once, kept when the runs that they tell of are removed, so that a model's origin stays known:
 *   - `lineage/steps/<execution id>/<attempt name>.json`: `LineageStep` of an attempt that succeeded, or `LineageReuse` of a cached call
 *   - `lineage/artifacts/<digest>/{made,used}/<execution id>.<attempt name>.json`: that attempt made, or read, the artifact
 *   - `lineage/reused/<execution id>/<attempt name>/<execution id of a run that took the result from the cache>.json`
 *   - `lineage/runs/<run id, escaped>/<execution id>.json` · `lineage/sources/<sha256 of a dataset's URI>/<digest>.json`
 *
 * Errors: `AnnealError` with `StoreUnavailable`, or `InputMissing` where an object that must exist does not.
 */
export interface ArtifactStore {
  /** Such as `file:///data/store`; every URI of the store starts with it and a slash. */
  readonly rootUri: string;
  uriOf(key: string): string;
  /** The key of a URI of this store. @throws AnnealError InvalidInput for a URI of another place. */
  keyOf(uri: string): string;
  /** Copies a local regular file in (by reflink where the file system can), hashing what was stored. Never follows a symlink. */
  putFile(key: string, localPath: string): Promise<FileEntry>;
  /**
   * Stores bytes. With `ifAbsent` the first writer wins and later ones get `'exists'`. `remakeable`: not flushed to the disk first, so
   * that a power failure may leave it out or torn; its readers take that as absent.
   */
  putBytes(
    key: string,
    bytes: Uint8Array,
    options?: { readonly ifAbsent?: boolean; readonly remakeable?: boolean },
  ): Promise<'stored' | 'exists'>;
  readBytes(key: string): Promise<Uint8Array | undefined>;
  /**
   * An object's bytes in pieces, for what may be larger than memory: from the byte `start` on (default 0), to its end as it is while it is
   * read. `undefined` when it does not exist; no pieces when `start` is at or beyond its end. To be read once; nothing is held open before
   * the first piece is asked for, nor after the loop is left. A piece may be overwritten when the next one is asked for.
   */
  openRead(
    key: string,
    options?: { readonly start?: number },
  ): Promise<AsyncIterable<Uint8Array> | undefined>;
  stat(key: string): Promise<StoredObject | undefined>;
  /** Puts an object at a local path: reflink, else read-only hard link, else copy. The parent directory exists. */
  fetchFile(key: string, localPath: string): Promise<void>;
  /** Objects whose key starts with the prefix, in key order. */
  list(prefix: string): AsyncIterable<StoredObject>;
  /** Removes everything below a prefix that ends in `/`. Nothing there is not an error. */
  removeAll(prefix: string): Promise<void>;
  /** Removes objects by key, and nothing beside them. One that is not there is not an error. */
  remove(keys: readonly string[]): Promise<void>;
}

/** One pod of an attempt. */
export interface PodPlace {
  readonly executionId: string;
  readonly attemptName: string;
  readonly podUid: string;
}

/** A schedule of a project. */
export interface SchedulePlace {
  readonly project: string;
  readonly pipeline: string;
}

/** A trigger of a pipeline; `key` is that of `triggerKey`. */
export interface TriggerPlace extends SchedulePlace {
  readonly key: string;
}

/** Keys of the store's layout; the one place that knows it. */
export const storeKeys = {
  attempt: (executionId: string, attemptName: string) => `runs/${executionId}/attempts/${attemptName}/`,
  manifest: (executionId: string, attemptName: string) =>
    `runs/${executionId}/attempts/${attemptName}/manifest.json`,
  output: (executionId: string, attemptName: string, output: string) =>
    `runs/${executionId}/attempts/${attemptName}/outputs/${output}`,
  log: (executionId: string, attemptName: string) =>
    `runs/${executionId}/attempts/${attemptName}/logs/output.log`,
  /** What a pod of the attempt is to do. */
  launch: (executionId: string, attemptName: string) =>
    `runs/${executionId}/attempts/${attemptName}/launch.json`,
  /** What one pod of an attempt made: `outputs/...`, `manifest.json`. */
  pod: ({ executionId, attemptName, podUid }: PodPlace) =>
    `runs/${executionId}/attempts/${attemptName}/pods/${podUid}/`,
  /** How one pod of an attempt ended. */
  podOutcome: ({ executionId, attemptName, podUid }: PodPlace) =>
    `runs/${executionId}/attempts/${attemptName}/pods/${podUid}/outcome.json`,
  /** Pieces of a pod's log, or of its stream of metrics. */
  podChunks: ({ executionId, attemptName, podUid }: PodPlace, stream: 'logs' | 'metrics') =>
    `runs/${executionId}/attempts/${attemptName}/${stream}/${podUid}/`,
  /** Commands of people to an attempt that is a pod. */
  commands: (executionId: string, attemptName: string) =>
    `runs/${executionId}/attempts/${attemptName}/commands/`,
  /** A build: the files of its directory, the code of its steps as below. */
  build: (digest: string) => `builds/${digest}/`,
  /** Is there while a build is being removed. */
  leavingBuild: (digest: string) => `gc/builds/${digest}.json`,
  /** What new runs of a project used, by number. */
  routing: (project: string) => `deployments/${project}/routing/`,
  /** Builds that are to be hosted although new runs do not use them. */
  wantedBuilds: (project: string) => `deployments/${project}/wanted/`,
  /** One step's code of a build: `files/<path>`, and `code.json`, written last. */
  stepCode: (build: string, step: string) => `builds/${build}/code/${step}/`,
  checkpoints: (executionId: string, callId: string) => `runs/${executionId}/checkpoints/${callId}/`,
  journal: (executionId: string) => `runs/${executionId}/journal.json`,
  run: (executionId: string) => `runs/${executionId}/run.json`,
  notification: (executionId: string, id: string) => `runs/${executionId}/notifications/${id}.json`,
  /** How a notification fares on one channel. */
  delivery: (of: { readonly executionId: string; readonly id: string; readonly channel: string }) =>
    `runs/${of.executionId}/notifications/${of.id}/${of.channel}.json`,
  /** The objects of a pinned dataset; `digest` is that of its pin. */
  datasetListing: (executionId: string, digest: string) => `runs/${executionId}/datasets/${digest}.json`,
  /** All that the cache knows of a step. */
  cacheStep: (step: string) => `cache/${step}/`,
  cacheKey: (step: string, key: string) => `cache/${step}/${key}/`,
  cacheGeneration: (of: { readonly step: string; readonly key: string; readonly generation: number }) =>
    `cache/${of.step}/${of.key}/${String(of.generation).padStart(6, '0')}/`,
  /** `day` is that of the writer, as `2026-11-23`: `anneal gc` leaves what was written lately alone. */
  payload: (day: string, sha256: string) => `payloads/${day}/${sha256}`,
  /** Says that a run took an attempt's result from the cache. `runSegment` is escaped by `toPathSegment`, and has no dot. */
  use: (of: {
    readonly executionId: string;
    readonly attemptName: string;
    readonly runSegment: string;
    readonly epoch: string;
  }) => `uses/${of.executionId}/${of.attemptName}/${of.runSegment}.${of.epoch}.json`,
  /** Triggers that the last look knew. */
  activeTriggers: (project: string) => `triggers/${project}/active.json`,
  triggerMark: (of: TriggerPlace) => `triggers/${of.project}/${of.pipeline}/${of.key}/mark.json`,
  triggersFired: (of: TriggerPlace) => `triggers/${of.project}/${of.pipeline}/${of.key}/fired/`,
  /** `event` is a digest of its id. */
  triggerFired: (of: TriggerPlace, event: string) =>
    `triggers/${of.project}/${of.pipeline}/${of.key}/fired/${event}.json`,
  /** What made a partition. `segment` is the escaped key. */
  partition: (of: { readonly project: string; readonly pipeline: string; readonly segment: string }) =>
    `partitions/${of.project}/${of.pipeline}/${of.segment}.json`,
  /** How far the times of a pipeline's schedule are accounted for. */
  scheduleAccount: (of: SchedulePlace) => `schedules/${of.project}/${of.pipeline}/account.json`,
  scheduleDefinition: (of: SchedulePlace, digest: string) =>
    `schedules/${of.project}/${of.pipeline}/definitions/${digest}.json`,
  scheduleSkips: (of: SchedulePlace) => `schedules/${of.project}/${of.pipeline}/skipped/`,
  /** A time that passed without a run. */
  scheduleSkip: (of: SchedulePlace, atMs: number) =>
    `schedules/${of.project}/${of.pipeline}/skipped/${new Date(atMs).toISOString().slice(0, 19).replaceAll(':', '-')}Z.json`,
  /** A legal hold. `segment` is the escaped name. */
  hold: (kind: 'run' | 'model', segment: string) => `holds/${kind}/${segment}.json`,
  /** All steps of a run that lineage knows. */
  lineageSteps: (executionId: string) => `lineage/steps/${executionId}/`,
  lineageStep: (executionId: string, attemptName: string) =>
    `lineage/steps/${executionId}/${attemptName}.json`,
  /** Attempts that made, or used, an artifact. The digest may be cut off when `role` is left out. */
  lineageArtifact: (digest: string, role?: 'made' | 'used') =>
    role === undefined ? `lineage/artifacts/${digest}` : `lineage/artifacts/${digest}/${role}/`,
  /** Runs that took an attempt's result from the cache. */
  lineageReuse: (executionId: string, attemptName: string) => `lineage/reused/${executionId}/${attemptName}/`,
  /** Execution ids of a run id, which is escaped by `toPathSegment`. */
  lineageRun: (runSegment: string) => `lineage/runs/${runSegment}/`,
  /** Digests that data at a URI had; `sha256` is that of the URI. */
  lineageSource: (sha256: string) => `lineage/sources/${sha256}/`,
} as const;

/** The n-th piece, from 0, of a pod's log or of its stream of metrics. */
export function chunkKey(place: PodPlace, stream: 'logs' | 'metrics', n: number): string {
  return `${storeKeys.podChunks(place, stream)}${String(n).padStart(8, '0')}`;
}
