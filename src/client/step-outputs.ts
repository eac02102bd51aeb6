import { storeKeys } from '../core/artifact-store.js';
import type { ArtifactPreview } from '../core/artifact-preview.js';
import type { ArtifactRef, Manifest } from '../core/artifacts.js';
import { AnnealError } from '../core/failures.js';
import type { Json } from '../core/json.js';
import { didYouMean } from '../core/nearest-name.js';
import type { CallStatus } from '../core/run.js';
import type { ClientDeps } from './client-deps.js';
import { readStatus } from './read-status.js';

/** One artifact of a step, and what it looks like. */
export interface StepOutput extends ArtifactRef {
  readonly name: string;
  readonly fileCount: number;
  readonly preview?: ArtifactPreview;
}

/** What one call of a step made. */
export interface StepOutputsReport {
  readonly runId: string;
  readonly call: CallStatus;
  readonly outputs: readonly StepOutput[];
  /** Parameters that it gave. */
  readonly parameters: { readonly [name: string]: Json };
}

/**
 * What a step of a run made; of several calls of that name the newest. A cached one shows what the run made that it came from.
 * @throws AnnealError RunNotFound, ServerUnreachable, InputMissing where it is not in the store, InvalidInput for a step that the run does
 * not have, or that has made nothing.
 */
export async function readOutputs(deps: ClientDeps, runId: string, step: string): Promise<StepOutputsReport> {
  const report = await readStatus(deps, runId);
  const steps = report.calls.filter(({ kind }) => kind === 'step');
  const call = steps.findLast(({ id, name }) => name === step || id === step);
  if (!call) {
    const names = [...new Set(steps.map(({ name }) => name))];
    throw new AnnealError(
      'InvalidInput',
      `Run "${runId}" has no step "${step}"; it has ${names.join(', ') || 'not called any yet'}.${didYouMean(step, names)}`,
    );
  }
  if (call.attemptName === undefined || (call.state !== 'succeeded' && call.state !== 'cached'))
    throw new AnnealError(
      'InvalidInput',
      `Step "${step}" of run "${runId}" is ${call.state}: it has made nothing.`,
    );
  const { outputs, parameters } = await readManifest(
    deps,
    call.cachedFrom?.executionId ?? report.executionId,
    call.attemptName,
  );
  return {
    runId,
    call,
    outputs: Object.entries(outputs).map(([name, { files, ...output }]) => ({
      name,
      ...output,
      fileCount: files.length,
    })),
    parameters,
  };
}

async function readManifest(
  { store }: ClientDeps,
  executionId: string,
  attemptName: string,
): Promise<Manifest> {
  const key = storeKeys.manifest(executionId, attemptName);
  const bytes = await store?.readBytes(key);
  if (bytes) return JSON.parse(new TextDecoder().decode(bytes)) as Manifest;
  throw new AnnealError(
    'InputMissing',
    `What the step made is no longer in the store (${key}). Run it again.`,
  );
}
