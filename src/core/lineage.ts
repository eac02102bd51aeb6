import { storeKeys } from './artifact-store.js';
import type { ArtifactRef, AttemptOrigin, LineageArtifact } from './artifacts.js';
import type { AttemptRequest, AttemptSucceeded } from './attempt.js';
import { digestOfText } from './digest.js';
import type { Json } from './json.js';
import { toPathSegment } from './run.js';

/** Where the code of a build comes from, as far as git knew when it was built. A build outside git has none. */
export interface CodeOrigin {
  readonly commit: string;
  readonly branch?: string;
  /** Without credentials. */
  readonly repositoryUrl?: string;
  /** Whether the project's files differed from the commit; absent where git gave no answer in time. */
  readonly dirty?: boolean;
}

/** What an attempt made, of what, and with which code. Written once, when it has succeeded; kept when the run's artifacts are removed. */
export interface LineageStep extends AttemptOrigin {
  readonly version: 1;
  readonly executionId: string;
  readonly attemptName: string;
  readonly code?: CodeOrigin;
  /** Digest of the step's Python lock. */
  readonly pythonDigest?: string;
  readonly outputs: { readonly [name: string]: LineageArtifact };
  /** MLflow's run of the step. */
  readonly tracking?: { readonly experimentId: string; readonly runId: string };
  readonly startedAtMs: number;
  readonly endedAtMs: number;
}

/** In place of a {@link LineageStep}: a call of this run took the result of another run's attempt from the cache. */
export interface LineageReuse {
  readonly version: 1;
  readonly reused: { readonly runId: string; readonly executionId: string };
  readonly runId: string;
  readonly executionId: string;
  readonly pipeline: string;
  readonly attemptName: string;
}

/** What a build says of its code. */
export interface CodeFacts {
  readonly origin?: CodeOrigin;
  /** Digest of the step's Python lock. */
  readonly pythonDigest?: string;
}

/** Longest JSON of a step's parameters that lineage keeps. */
export const KEPT_PARAMETERS = 4_000;

/** Of what an attempt works, as its request says. */
export function buildOrigin(request: AttemptRequest, runId: string): AttemptOrigin {
  const { project, pipeline, step, callId, attempt, build, codeDigest, image, parameters } = request;
  return {
    ...{ runId, project, pipeline, step, callId, attempt, build, codeDigest },
    ...(image === undefined ? {} : { image }),
    ...(isShort(parameters) && { parameters }),
    inputs: toLineage(request.inputs),
  };
}

/** What {@link buildLineageStep} takes. */
export interface SucceededAttempt {
  readonly origin: AttemptOrigin;
  readonly executionId: string;
  readonly outcome: Pick<
    AttemptSucceeded,
    'attemptName' | 'outputs' | 'parameters' | 'startedAtMs' | 'endedAtMs'
  >;
  readonly code?: CodeFacts;
  readonly tracking?: LineageStep['tracking'];
}

/** The record of an attempt that succeeded. */
export function buildLineageStep(attempt: SucceededAttempt): LineageStep {
  const { executionId, outcome, code, tracking } = attempt;
  const { parameters: given, ...origin } = attempt.origin;
  const parameters = given && { ...given, ...outcome.parameters };
  return {
    version: 1,
    ...origin,
    executionId,
    attemptName: outcome.attemptName,
    ...(code?.origin && { code: code.origin }),
    ...(code?.pythonDigest === undefined ? {} : { pythonDigest: code.pythonDigest }),
    ...(parameters && isShort(parameters) && { parameters }),
    outputs: toLineage(outcome.outputs),
    ...(tracking && { tracking }),
    startedAtMs: outcome.startedAtMs,
    endedAtMs: outcome.endedAtMs,
  };
}

/** What leads to the record of an attempt, by key: from its run, from what it made and used, and from the place of data that others keep. */
export function buildPointers(record: LineageStep): [key: string, value: object][] {
  const { runId, executionId, attemptName, pipeline, step, inputs, outputs } = record;
  const name = `${executionId}.${attemptName}.json`;
  const pointer = { runId, executionId, attemptName, pipeline, step };
  const artifacts = (refs: LineageStep['inputs'], role: 'made' | 'used') =>
    Object.values(refs).map(({ digest }): [string, object] => [
      `${storeKeys.lineageArtifact(digest, role)}${name}`,
      pointer,
    ]);
  const sources = Object.values(inputs).flatMap(({ source, uri, digest }): [string, object][] =>
    source === undefined
      ? []
      : [...new Set([source, uri])].map((of) => [
          `${storeKeys.lineageSource(digestOfText(of))}${digest}.json`,
          { uri: of, digest },
        ]),
  );
  return [...new Map([...artifacts(outputs, 'made'), ...artifacts(inputs, 'used'), ...sources])];
}

/** What leads from the id of a run to its records. */
export function buildRunPointer({
  runId,
  executionId,
  pipeline,
}: Pick<LineageStep, 'runId' | 'executionId' | 'pipeline'>): [key: string, value: object] {
  return [
    `${storeKeys.lineageRun(toPathSegment(runId))}${executionId}.json`,
    { runId, executionId, pipeline },
  ];
}

/** What leads from an attempt to a run that took its result from the cache. */
export function buildReusePointer({
  reused,
  attemptName,
  runId,
  executionId,
  pipeline,
}: LineageReuse): [key: string, value: object] {
  return [
    `${storeKeys.lineageReuse(reused.executionId, attemptName)}${executionId}.json`,
    { runId, executionId, pipeline },
  ];
}

function isShort(parameters: { readonly [name: string]: Json }): boolean {
  return JSON.stringify(parameters).length <= KEPT_PARAMETERS;
}

function toLineage(refs: {
  readonly [name: string]: ArtifactRef & { readonly pin?: { readonly source: string } };
}): LineageStep['inputs'] {
  return Object.fromEntries(
    Object.entries(refs).map(([name, { kind, uri, digest, sizeBytes, pin }]) => [
      name,
      { kind, uri, digest, sizeBytes, ...(pin && { source: pin.source }) },
    ]),
  );
}

/** The attempt whose output lies at a URI of the store; undefined for a URI of another place. */
export function producerOf(
  uri: string,
): { readonly executionId: string; readonly attemptName: string; readonly output: string } | undefined {
  const [, executionId, attemptName, output] =
    /\/runs\/([^/]+)\/attempts\/([^/]+)\/(?:pods\/[^/]+\/)?outputs\/([^/]+)$/.exec(uri) ?? [];
  return executionId === undefined || attemptName === undefined || output === undefined
    ? undefined
    : { executionId, attemptName, output };
}

/** A version of a registered model, as the registry shows it to people who ask where it comes from. */
export interface IndexedVersion {
  readonly modelName: string;
  readonly version: string;
  readonly aliases: readonly string[];
  readonly tags: { readonly [name: string]: string };
  /** Digest of the Model artifact; absent on a version that no pipeline registered. */
  readonly digest?: string;
}

/** How lineage asks the model registry. All calls may throw `TrackingUnavailable` or `TrackingRefused`. */
export interface ModelIndex {
  /** Null where there is no such model, alias or version. */
  find(
    of:
      | { readonly modelName: string; readonly alias: string }
      | { readonly modelName: string; readonly version: string },
  ): Promise<IndexedVersion | null>;
  /** The versions that were registered from an artifact, at most `limit`. */
  findByDigest(of: { readonly digest: string; readonly limit: number }): Promise<readonly IndexedVersion[]>;
}
