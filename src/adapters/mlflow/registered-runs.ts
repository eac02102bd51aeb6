import { createMlflowClient, readMlflowEnvironment } from 'mlflow-ts-client';
import { TAGS } from '../../core/registry.js';
import { AnnealError } from '../../core/failures.js';

/** A run that a version of a registered model was made by. */
export interface RegisteredRun {
  readonly executionId: string;
  readonly runId: string;
  readonly modelName: string;
}

/**
 * The runs behind all versions that Anneal registered, whatever their stage or aliases.
 * @throws AnnealError TrackingUnavailable when the server does not answer.
 */
export async function readRegisteredRuns(options: {
  readonly trackingUri: string;
  readonly env: NodeJS.ProcessEnv;
}): Promise<RegisteredRun[]> {
  const client = createMlflowClient({
    ...readMlflowEnvironment(options.env),
    trackingUri: options.trackingUri,
  });
  const runs: RegisteredRun[] = [];
  try {
    for await (const { name: modelName, tags } of client.modelVersions.searchAll({})) {
      const executionId = tags[TAGS.executionId];
      const runId = tags[TAGS.runId];
      if (executionId !== undefined && runId !== undefined) runs.push({ executionId, runId, modelName });
    }
    return runs;
  } catch (cause) {
    throw new AnnealError(
      'TrackingUnavailable',
      `MLflow at ${options.trackingUri} could not be asked which runs its models come from (${cause instanceof Error ? cause.message : String(cause)}), so nothing can be told to be unused. Check it with "anneal doctor".`,
      { cause },
    );
  }
}
