import { AnnealError } from '../../core/failures.js';
import type { Build } from '../../workers/build/build-manifest.js';
import type { Command } from '../command.js';
import type { Project } from '../context.js';
import { findBuild, shortBuild } from '../deployment-parts.js';
import { hostBuild } from '../trial.js';
import { EXIT } from '../report-error.js';

/** `anneal migrate RUN`: moves an open run to another build on purpose, after its history was compared with that build's code. */
export const migrate: Command = async (context, [runId = ''], { to, force }) => {
  const project = await context.openProject();
  const build = to === undefined ? await project.currentBuild() : await findBuild(project, to);
  const client = await project.client();
  await client.status(runId);
  if (force !== true) await refuseWhatDiffers(project, runId, build);
  if (project.config.builds === 'store') {
    const { nowMs } = context;
    await context.interruptible(async (signal) => await hostBuild(project, build, { signal, nowMs }));
  }
  const moved = await client.versions.migrate(runId, build.digest);
  const from = moved.from === undefined ? '' : ` from ${shortBuild(moved.from)}`;
  context.terminal.show(
    moved,
    () => `${runId} moves${from} to build ${shortBuild(moved.to)} with its next step.`,
  );
  return EXIT.ok;
};

async function refuseWhatDiffers(project: Project, runId: string, build: Build): Promise<void> {
  const [{ replayHistories }, { quietRuntime }, { client }] = await Promise.all([
    import('../../workers/replay-histories.js'),
    import('../../workers/temporal-logger.js'),
    project.temporal(),
  ]);
  quietRuntime();
  const history = await client.workflow.getHandle(runId).fetchHistory();
  const { createDataConverter, openStore } = await import('../../workers/open-store.js');
  const dataConverter = createDataConverter(openStore(project.paths));
  for await (const { problem } of replayHistories({ build, dataConverter }, [{ name: runId, history }]))
    if (problem !== undefined)
      throw new AnnealError(
        'InvalidInput',
        `Run "${runId}" cannot go on with build ${shortBuild(build.digest)}, whose code takes another way than the run has gone: ${problem} Let it end on its own build, or end it and take up its finished work with "anneal retry ${runId}".`,
      );
}
