import type { ArtifactRef } from './artifacts.js';
import type { AttemptRequest, AttemptSucceeded } from './attempt.js';
import type { Json } from './json.js';

/** Where the code of a build comes from, as far as git knew when it was built. A build outside git has none. */
export interface CodeOrigin {
  readonly commit: string;
  readonly branch?: string;
  /** Without credentials. */
  readonly repositoryUrl?: string;
  /** Whether the project's files differed from the commit; absent where git gave no answer in time. */
  readonly dirty?: boolean;
}

/** An artifact as lineage knows it. */
export interface LineageArtifact extends Pick<ArtifactRef, 'kind' | 'uri' | 'digest' | 'sizeBytes'> {
  /** Of data that others keep: where it was pinned. */
  readonly source?: string;
}

/** What an attempt made, of what, and with which code. Written once, when it has succeeded; kept when the run's artifacts are removed. */
export interface LineageStep {
  readonly version: 1;
  readonly runId: string;
  readonly executionId: string;
  readonly project: string;
  readonly pipeline: string;
  readonly step: string;
  readonly callId: string;
  readonly attemptName: string;
  readonly attempt: number;
  readonly build: string;
  readonly codeDigest: string;
  readonly code?: CodeOrigin;
  readonly image?: string;
  /** Digest of the step's Python lock. */
  readonly pythonDigest?: string;
  /** Absent where they are longer than {@link KEPT_PARAMETERS}. */
  readonly parameters?: { readonly [name: string]: Json };
  readonly inputs: { readonly [name: string]: LineageArtifact };
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

/** Longest JSON of a step's parameters that lineage keeps. */
export const KEPT_PARAMETERS = 4_000;

/** What {@link buildLineageStep} takes. */
export interface SucceededAttempt {
  readonly request: AttemptRequest;
  readonly runId: string;
  readonly outcome: AttemptSucceeded;
  readonly code?: CodeOrigin;
  readonly pythonDigest?: string;
}

/** The record of an attempt that succeeded. */
export function buildLineageStep(attempt: SucceededAttempt): LineageStep {
  const { request, runId, outcome, code, pythonDigest } = attempt;
  const { executionId, project, pipeline, step, callId, build, codeDigest, image, tracking } = request;
  const parameters = { ...request.parameters, ...outcome.parameters };
  const isShort = JSON.stringify(parameters).length <= KEPT_PARAMETERS;
  return {
    version: 1,
    ...{ runId, executionId, project, pipeline, step, callId, build, codeDigest },
    attemptName: outcome.attemptName,
    attempt: request.attempt,
    ...(code && { code }),
    ...(image === undefined ? {} : { image }),
    ...(pythonDigest === undefined ? {} : { pythonDigest }),
    ...(isShort && { parameters }),
    inputs: toLineage(request.inputs),
    outputs: toLineage(outcome.outputs),
    ...(tracking === undefined || outcome.trackingRunId === undefined
      ? {}
      : { tracking: { experimentId: tracking.experimentId, runId: outcome.trackingRunId } }),
    startedAtMs: outcome.startedAtMs,
    endedAtMs: outcome.endedAtMs,
  };
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
