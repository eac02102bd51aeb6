import { MOST_CONCURRENCY, type BackfillProgress } from '../../core/backfill.js';
import { formatDuration } from '../../core/duration.js';
import { AnnealError } from '../../core/failures.js';
import { didYouMean } from '../../core/nearest-name.js';
import { keyProblem, partitionsBetween } from '../../core/partitions.js';
import type { PipelineDefinition } from '../../core/pipeline-definition.js';
import type { Command, CommandContext, CommandOptions } from '../command.js';
import { parseParameters, refuseWrongParameters } from '../parse-parameters.js';
import { EXIT, EXIT_INTERRUPTED } from '../report-error.js';

/** `anneal backfill`: adds partitions, or says how far it is; with --pause, --resume, --cancel, --retry-failed it steers. */
export const backfill: Command = async (context, [name = ''], options) => {
  const verb = readVerb(options);
  const isRange = readsRange(options, verb);
  const project = await context.openProject();
  const { terminal } = context;
  const { backfills } = await project.client();
  if (verb !== undefined && verb !== 'retry')
    return await follow(context, name, { first: await backfills[verb](name), options });
  const { digest, manifest } = await project.currentBuild();
  const { codeOf } = await import('../../workers/build/build-code.js');
  if (isRange) {
    const pipeline = find(manifest.pipelines, name);
    const keys = readKeys(pipeline, options);
    const params = readParams(pipeline, keys[0] ?? '', options);
    const again = options.again === true;
    if (options.dryRun === true) {
      const plan = again
        ? { toMake: keys, made: [] }
        : await backfills.plan(pipeline, { keys, params, build: { build: digest, ...codeOf(manifest) } });
      terminal.show({ pipeline: name, ...plan }, () => planText(plan));
      return EXIT.ok;
    }
    const concurrency = readConcurrency(options.concurrency);
    const range = { keys, again, params, ...(concurrency === undefined ? {} : { concurrency }) };
    return await follow(context, name, { first: await backfills.add(pipeline, range), options });
  }
  const first =
    verb === 'retry'
      ? await backfills.retryFailed(find(manifest.pipelines, name))
      : await backfills.progress(name);
  return await follow(context, name, { first, options });
};

async function follow(
  context: CommandContext,
  pipeline: string,
  { first, options }: { readonly first: BackfillProgress; readonly options: CommandOptions },
): Promise<number> {
  const { terminal } = context;
  const { backfills } = await (await context.openProject()).client();
  let last = first;
  let interrupted = false;
  if (options.wait === true)
    await context.interruptible(async (signal) => {
      try {
        for await (const now of backfills.watch(pipeline, signal)) {
          if (countsOf(now) !== countsOf(last)) terminal.line(countsOf(now));
          last = now;
        }
      } catch (error) {
        if (!signal.aborted) throw error;
        interrupted = true;
      }
    });
  terminal.show(last, () => progressText(last, context.nowMs()));
  if (interrupted) return EXIT_INTERRUPTED;
  return options.wait === true && last.failed.length > 0 ? EXIT.failed : EXIT.ok;
}

type Verb = 'pause' | 'resume' | 'cancel' | 'retry';

function readVerb({ pause, resume, cancel, retryFailed }: CommandOptions): Verb | undefined {
  const given = Object.entries({ pause, resume, cancel, retry: retryFailed }).filter(
    ([, value]) => value === true,
  );
  if (given.length > 1)
    throw new AnnealError('InvalidCommand', 'Give one of --pause, --resume, --cancel and --retry-failed.');
  return given[0]?.[0] as Verb | undefined;
}

/** Whether partitions are named. What would be ignored is refused: `--dry-run` beside it would not be one. */
function readsRange(options: CommandOptions, verb: Verb | undefined): boolean {
  const { from, to, keys, all, again, param = [], concurrency, dryRun } = options;
  const ways = [from !== undefined || to !== undefined, keys !== undefined, all === true];
  const named = ways.filter(Boolean).length;
  if (named > 1)
    throw new AnnealError('InvalidCommand', 'Name partitions in one way: --from and --to, --keys, or --all.');
  const hasMore = again === true || param.length > 0 || concurrency !== undefined || dryRun === true;
  if (verb !== undefined && (named > 0 || hasMore))
    throw new AnnealError(
      'InvalidCommand',
      '--pause, --resume, --cancel and --retry-failed are of the whole backfill: of the other options they take --wait only.',
    );
  if (named === 0 && hasMore)
    throw new AnnealError('InvalidCommand', 'Say which partitions: --from and --to, --keys, or --all.');
  return named > 0;
}

function find(pipelines: readonly PipelineDefinition[], name: string): PipelineDefinition {
  const found = pipelines.find((one) => one.name === name);
  if (found !== undefined) return found;
  const names = pipelines.map((one) => one.name);
  throw new AnnealError(
    'UnknownPipeline',
    `This build has no pipeline "${name}"${didYouMean(name, names)}; it has ${names.join(', ') || 'none'}.`,
  );
}

function readKeys({ name, partition }: PipelineDefinition, options: CommandOptions): readonly string[] {
  if (partition === undefined)
    throw new AnnealError(
      'InvalidInput',
      `Pipeline "${name}" has no partitions. Add partition: to definePipeline, with the parameter that takes the key.`,
    );
  const { from, to = from, keys } = options;
  if ('keys' in partition && keys === undefined && options.all !== true)
    throw new AnnealError('InvalidCommand', `Pipeline "${name}" is cut by a list: give --keys or --all.`);
  if (keys !== undefined || 'keys' in partition) {
    const chosen = keys?.split(',').map((key) => key.trim()) ?? ('keys' in partition ? partition.keys : []);
    const problem = chosen.map((key) => keyProblem(partition, key)).find((one) => one !== undefined);
    if (problem !== undefined) throw new AnnealError('InvalidCommand', problem);
    return chosen;
  }
  if (from === undefined || to === undefined)
    throw new AnnealError(
      'InvalidCommand',
      `Pipeline "${name}" is cut by ${partition.by}: give --from and --to.`,
    );
  try {
    return partitionsBetween(partition.by, from, to);
  } catch (cause) {
    throw new AnnealError('InvalidCommand', `${cause instanceof Error ? cause.message : String(cause)}.`, {
      cause,
    });
  }
}

function readParams({ name, params, partition }: PipelineDefinition, key: string, { param }: CommandOptions) {
  const values = parseParameters(name, params, param ?? []);
  refuseWrongParameters(name, params, { ...values, [partition?.parameter ?? '']: key });
  return values;
}

function readConcurrency(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= MOST_CONCURRENCY) return count;
  throw new AnnealError(
    'InvalidCommand',
    `--concurrency "${text}" is no whole number from 1 to ${MOST_CONCURRENCY}.`,
  );
}

function planText({
  toMake,
  made,
}: {
  readonly toMake: readonly string[];
  readonly made: readonly string[];
}): string {
  const range =
    toMake.length === 0
      ? ''
      : `: ${toMake[0] ?? ''}${toMake.length === 1 ? '' : ` to ${toMake.at(-1) ?? ''}`}`;
  return `${toMake.length} ${toMake.length === 1 ? 'partition' : 'partitions'} would be made${range}; ${made.length} are made already by this code, with these parameters.`;
}

function countsOf({
  state,
  total,
  made,
  skipped,
  running,
  waiting,
  failed,
  cancelled,
}: BackfillProgress): string {
  const parts = [
    `${made} made`,
    ...(skipped > 0 ? [`${skipped} made before`] : []),
    ...(running.length > 0 ? [`${running.length} under way`] : []),
    ...(waiting > 0 ? [`${waiting} wait`] : []),
    ...(failed.length > 0 ? [`${failed.length} failed`] : []),
    ...(cancelled > 0 ? [`${cancelled} cancelled`] : []),
  ];
  return `${state}: ${parts.join(', ')} of ${total}`;
}

/** Rows of each kind that are shown. */
const SHOWN = 20;

function progressText(progress: BackfillProgress, nowMs: number): string {
  const { pipeline, running, failed, concurrency, startedAtMs } = progress;
  const more = failed.length - SHOWN;
  return [
    `${pipeline}  ${countsOf(progress)} (${concurrency} at once, begun ${formatDuration(Math.max(0, nowMs - startedAtMs))} ago)`,
    ...running.slice(0, SHOWN).map(({ key, runId }) => `  ${key}  under way  ${runId}`),
    ...failed.slice(0, SHOWN).map(({ key, runId, code }) => `  ${key}  ${code}  ${runId}`),
    ...(more > 0 ? [`  and ${more} more that failed`] : []),
    ...(failed.length > 0
      ? [`Make the failed ones again with: anneal backfill ${pipeline} --retry-failed`]
      : []),
  ].join('\n');
}
