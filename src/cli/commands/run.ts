import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { shellWord } from '../../client/run-id.js';
import type { StartRunOptions } from '../../client/index.js';
import { didYouMean } from '../../core/nearest-name.js';
import { AnnealError } from '../../core/failures.js';
import type { ProjectConfig } from '../../config/project-config.js';
import type { PipelineDefinition } from '../../core/pipeline-definition.js';
import type { Command, CommandContext, CommandOptions } from '../command.js';
import { freshBuild } from '../fresh-build.js';
import { followRun, showOutcome } from '../follow-run.js';
import { parseParameters, refuseWrongParameters, type Parameters } from '../parse-parameters.js';
import { EXIT, EXIT_INTERRUPTED } from '../report-error.js';
import { findStartingPerson } from '../starting-person.js';
import { buildTrial, hostBuild } from '../trial.js';
import { readBudget } from './steer.js';
import { warnOfWorker } from '../warn-of-worker.js';

/** `anneal run PIPELINE`: starts a run; with `--wait` or `--remote` it is followed, and Ctrl-C only stops following. */
export const run: Command = async (context, [name = ''], options) => {
  const project = await context.openProject();
  const build = await unlessInterrupted(context, async (signal) =>
    options.remote === true
      ? await buildTrial(context, project)
      : await freshBuild(project, { terminal: context.terminal, signal }),
  );
  if (build === undefined) return EXIT_INTERRUPTED;
  const { manifest } = build;
  const pipeline = findPipeline(manifest.pipelines, name);
  const parameters = await readParameters(context, pipeline, options);
  const client = await project.client();
  if (options.remote === true) {
    const hosted = await unlessInterrupted(context, async (signal) => {
      context.terminal.line(context.terminal.colors.dim('  Waiting for a worker that hosts it'));
      await hostBuild(project, build, { signal, nowMs: context.nowMs });
      return true;
    });
    if (hosted === undefined) return EXIT_INTERRUPTED;
  }
  const started = await client.startRun(pipeline.name, {
    parameters,
    ...(await findStartingPerson(context, project.config, options)),
    ...(options.id === undefined ? {} : { runId: options.id }),
    ...(options.budget === undefined ? {} : { budget: priceable(project.config, options.budget) }),
    ...readCacheOptions(manifest.steps, options),
    ...(options.remote === true ? { build: build.digest } : {}),
  });
  const { runId } = started;
  const { terminal, nowMs } = context;
  await warnOfWorker(project, terminal);
  if (options.wait !== true && options.remote !== true) {
    terminal.show(started, () => `${terminal.colors.green('Started')} ${runId}\n${howToGoOn(runId)}`);
    return EXIT.ok;
  }
  terminal.line(`Started ${runId}. Ctrl-C stops following; the run goes on.`);
  const report = await context.interruptible(
    async (signal) => await followRun(runId, { client, terminal, nowMs, signal }),
  );
  if (report) return showOutcome(report, { terminal, bases: await project.links() });
  terminal.show(
    { ...started, detached: true },
    () => `\nStopped following; ${runId} goes on.\n${howToGoOn(runId)}`,
  );
  // A script that waits for the run must not take its own end for that of the run.
  return EXIT_INTERRUPTED;
};

/** @returns undefined after Ctrl-C. */
async function unlessInterrupted<T>(
  { interruptible }: CommandContext,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T | undefined> {
  return await interruptible(async (signal) => {
    try {
      return await work(signal);
    } catch (error) {
      if (signal.aborted) return undefined;
      throw error;
    }
  });
}

/** `--no-cache`, `--refresh STEP`, `--verify full`. @throws AnnealError InvalidCommand with the step that was probably meant. */
export function readCacheOptions(
  steps: readonly { readonly name: string }[],
  { cache, refresh = [], verify }: CommandOptions,
): Pick<StartRunOptions, 'cache'> {
  const names = steps.map(({ name }) => name);
  for (const name of refresh)
    if (!names.includes(name))
      throw new AnnealError(
        'InvalidCommand',
        `--refresh names step "${name}", which the build does not have; it has ${names.join(', ') || 'none'}.${didYouMean(name, names)}`,
      );
  if (verify !== undefined && verify !== 'full' && verify !== 'size')
    throw new AnnealError('InvalidCommand', `--verify is "${verify}"; it must be size or full.`);
  if (cache === false) return { cache };
  const given = {
    ...(refresh.length > 0 ? { refresh } : {}),
    ...(verify === 'full' ? { verify: 'full' as const } : {}),
  };
  return Object.keys(given).length === 0 ? {} : { cache: given };
}

/** `--budget`, which limits something only where a pool has a price. @throws AnnealError InvalidCommand. */
function priceable({ pools }: ProjectConfig, text: string): number {
  const budget = readBudget(text);
  if (Object.values(pools).some(({ placement }) => placement?.pricePerHour !== undefined)) return budget;
  throw new AnnealError(
    'InvalidCommand',
    'No pool of the project has a price, so --budget would limit nothing. Set pricePerHour of a pool in anneal.yaml.',
  );
}

function howToGoOn(runId: string): string {
  const id = shellWord(runId);
  return `  follow it  anneal logs ${id} --follow\n  look       anneal describe ${id}\n  stop it    anneal cancel ${id}`;
}

/** The pipeline of that name. @throws AnnealError UnknownPipeline with the nearest one. */
export function findPipeline(pipelines: readonly PipelineDefinition[], name: string): PipelineDefinition {
  const found = pipelines.find((pipeline) => pipeline.name === name);
  if (found) return found;
  const names = pipelines.map((pipeline) => pipeline.name);
  throw new AnnealError(
    'UnknownPipeline',
    `The build has no pipeline "${name}"; it has ${names.join(', ') || 'none'}.${didYouMean(name, names)}`,
  );
}

async function readParameters(
  context: CommandContext,
  pipeline: PipelineDefinition,
  options: CommandOptions,
): Promise<Parameters> {
  const { name, params } = pipeline;
  const fromFile =
    options.paramsFile === undefined
      ? {}
      : await readParametersFile(path.resolve(context.cwd, options.paramsFile));
  const values = { ...fromFile, ...parseParameters(name, params, options.param ?? []) };
  refuseWrongParameters(name, params, values);
  return values;
}

async function readParametersFile(file: string): Promise<Parameters> {
  const refuse = (what: string, cause?: unknown) =>
    new AnnealError('InvalidParameter', `${file} ${what}; --params-file takes a file with one JSON object.`, {
      cause,
    });
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw refuse('cannot be read', cause);
  });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw refuse(`is not JSON (${cause instanceof Error ? cause.message : ''})`, cause);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw refuse('holds something else');
  return value as Parameters;
}
