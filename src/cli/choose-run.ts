import { setTimeout as delay } from 'node:timers/promises';
import type { AnnealClient, RunSummary } from '../client/index.js';
import { shellWord } from '../client/run-id.js';
import { AnnealError } from '../core/failures.js';
import type { PipelineDefinition } from '../core/pipeline-definition.js';
import { findPipeline } from './commands/run.js';

/** What {@link chooseRun} takes. */
export interface ChooseRunOptions {
  readonly client: Pick<AnnealClient, 'list' | 'startRun'>;
  readonly pipelines: readonly PipelineDefinition[];
  /** Which pipeline; default: the first. */
  readonly name?: string;
  readonly say: (text: string) => void;
  readonly signal: AbortSignal;
}

/**
 * The run of the pipeline that is still open, else a new one. Callers take turns: the new run is listed when this returns, so that the next
 * one finds it.
 * @throws AnnealError UnknownPipeline.
 */
export async function chooseRun(options: ChooseRunOptions): Promise<string> {
  const { client, say, signal } = options;
  const pipeline = choosePipeline(options).name;
  // Not by state: a run that has only just been started has none of its own yet.
  const listed = async () => await client.list({ pipeline, limit: LOOKED_AT });
  const open = mostAlive(await listed());
  if (open) {
    const next =
      open.state === 'paused' ? `; let it go on with: anneal resume ${shellWord(open.runId)}` : '.';
    say(`Following ${open.runId}, which is still ${open.state}${next}`);
    return open.runId;
  }
  const { runId } = await client.startRun(pipeline);
  say(`Started ${runId}.`);
  // The server lists a run a moment after it has accepted it.
  const deadline = performance.now() + LISTED_WITHIN_MS;
  while (performance.now() < deadline && !signal.aborted) {
    if ((await listed()).some((run) => run.runId === runId)) break;
    await delay(POLL_MS, undefined, { signal }).catch(() => undefined);
  }
  return runId;
}

/** Open runs are listed first. */
const LOOKED_AT = 50;
const LISTED_WITHIN_MS = 5_000;
const POLL_MS = 25;

function choosePipeline({ pipelines, name }: ChooseRunOptions): PipelineDefinition {
  const [first] = pipelines;
  if (first) return name === undefined ? first : findPipeline(pipelines, name);
  throw new AnnealError(
    'UnknownPipeline',
    'The project has no pipeline. Export one, made with definePipeline, from the module that anneal.yaml names under "pipelines".',
  );
}

/** The open run that is farthest from waiting. */
function mostAlive(runs: readonly RunSummary[]): RunSummary | undefined {
  return (['running', 'waiting-for-approval', 'queued', 'paused'] as const)
    .map((state) => runs.find((run) => run.state === state))
    .find((run) => run !== undefined);
}
