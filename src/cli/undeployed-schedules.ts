import { AnnealError } from '../core/failures.js';
import type { PipelineDefinition } from '../core/pipeline-definition.js';
import { checkParameters } from '../core/schema.js';
import type { Project } from './context.js';
import { shortBuild } from './deployment-parts.js';

/**
 * One sentence for each schedule of the code whose runs would fail as things stand: they begin on the build that new runs use, which need not be
 * of this code.
 */
export async function undeployedSchedules(
  project: Project,
  pipelines: readonly PipelineDefinition[],
): Promise<string[]> {
  const scheduled = pipelines.filter(({ schedule }) => schedule !== undefined);
  if (scheduled.length === 0) return [];
  const deploy = project.config.builds === 'store' ? 'anneal deploy' : 'anneal up';
  try {
    const { digest, manifest } = await project.currentBuild();
    return scheduled.flatMap((wanted) => {
      const found = manifest.pipelines.find(({ name }) => name === wanted.name);
      const why = found === undefined ? 'does not have that pipeline' : refusal(found, wanted);
      if (why === undefined) return [];
      return [
        `Runs of schedule "${wanted.name}" will fail: new runs use build ${shortBuild(digest)}, which ${why}. Let new runs use this code with: ${deploy}`,
      ];
    });
  } catch (error) {
    if (!(error instanceof AnnealError) || error.code !== 'InvalidInput') throw error;
    return [`Runs of these schedules wait for a build: ${error.message}`];
  }
}

/** Why the pipeline, as it is now, would not take what the schedule passes. */
function refusal(
  { name, params, partition }: PipelineDefinition,
  { schedule }: PipelineDefinition,
): string | undefined {
  // The run itself knows its partition.
  const schemas = Object.entries(params).filter(([param]) => param !== partition?.parameter);
  const checked = checkParameters(`pipeline "${name}"`, Object.fromEntries(schemas), schedule?.params ?? {});
  return checked.ok ? undefined : `refuses its parameters (${checked.problems.join(' ').replace(/\.$/, '')})`;
}
