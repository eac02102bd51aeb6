import { type Client, WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import type { ModelRegistry } from '../activities/ports/model-registry.js';
import type { RunDirectory } from '../activities/ports/run-directory.js';
import type { TriggerDirectory } from '../activities/ports/trigger-directory.js';
import { pipelinesTaskQueue } from '../core/run.js';
import { TRIGGER_MEMO } from '../core/triggers.js';
import type { BuildManifest } from './build/build-manifest.js';

/** What {@link createTriggerDirectory} is made of. */
export interface TriggerDirectoryDeps {
  readonly client: Client;
  readonly project: string;
  /** The build that new runs use. */
  readonly readCurrent: () => Promise<Pick<BuildManifest, 'pipelines'> | undefined>;
  readonly directory: Pick<RunDirectory, 'listEnds'>;
  /** Absent where the project has no MLflow. */
  readonly registry?: Pick<ModelRegistry, 'readModel'>;
}

/** Temporal, the registry and the build that new runs use as {@link TriggerDirectory}. */
export function createTriggerDirectory(deps: TriggerDirectoryDeps): TriggerDirectory {
  const { client, project, readCurrent, directory, registry } = deps;
  return {
    listPipelines: async () => (await readCurrent())?.pipelines,
    listEnds: (pipeline, sinceMs) => directory.listEnds(pipeline, sinceMs),
    readModel: async (model, signal) => await registry?.readModel(model, signal),
    start: async ({ pipeline, runId, params, event }) => {
      try {
        await client.workflow.start(pipeline, {
          workflowId: runId,
          taskQueue: pipelinesTaskQueue(project),
          args: [params],
          workflowIdReusePolicy: 'REJECT_DUPLICATE',
          staticSummary: pipeline,
          memo: { [TRIGGER_MEMO]: event },
        });
      } catch (error) {
        if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
      }
    },
  };
}
