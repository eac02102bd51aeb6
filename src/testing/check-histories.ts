import path from 'node:path';
import { AnnealError } from '../core/failures.js';

/** Recorded runs, and the project whose code they are to agree with. */
export interface HistoriesOptions {
  /** Directory of the JSON files that `anneal replay --save` wrote. */
  readonly histories: string;
  /** anneal.yaml or its directory. Default: found from the working directory upward. */
  readonly project?: string;
}

/**
 * Builds the project as it is and runs recorded histories through its pipelines, without a server: whether runs that have come as far as
 * the recorded ones could go on with this code.
 * @returns how many were replayed.
 * @throws Error that names each kind of run that the code would break, and where; AnnealError BuildFailed, InvalidInput without a history.
 */
export async function checkHistories({ histories, project }: HistoriesOptions): Promise<number> {
  const [{ loadConfig }, { buildProject }, { readHistories }, { replayHistories }, { quietRuntime }] =
    await Promise.all([
      import('../config/load-config.js'),
      import('../workers/build/build-project.js'),
      import('../workers/recorded-histories.js'),
      import('../workers/replay-histories.js'),
      import('../workers/temporal-logger.js'),
    ]);
  const config = await loadConfig({
    cwd: process.cwd(),
    env: process.env,
    ...(project === undefined ? {} : { path: project }),
  });
  const build = await buildProject({ config });
  const recorded = await readHistories(path.resolve(histories));
  quietRuntime();
  const broken: string[] = [];
  for await (const { name, shape, problem } of replayHistories({ build, dataConverter: {} }, recorded))
    if (problem !== undefined) broken.push(`  ${name} (${shape}): ${problem}`);
  if (broken.length === 0) return recorded.length;
  throw new AnnealError(
    'NotRepeatable',
    `The pipelines take another way than ${broken.length} of ${recorded.length} recorded runs, so that an open run like these could not be moved to this code or reset:\n${broken.join('\n')}\nKeep the order of what a pipeline asks for, or record again what no open run needs: anneal replay --save ${histories}`,
  );
}
