import { AnnealError, readRunHistories } from '../../client/index.js';
import { parseDuration } from '../../core/duration.js';
import type { Build } from '../../workers/build/build-manifest.js';
import type { NamedHistory, ReplayResult } from '../../workers/replay-histories.js';
import type { Command, CommandContext, CommandOptions } from '../command.js';
import type { Project } from '../context.js';
import { findBuild, shortBuild } from '../deployment-parts.js';
import { EXIT } from '../report-error.js';
import { readLimit } from './list.js';

/** What one kind of run came to. */
interface Shape {
  readonly shape: string;
  readonly runs: number;
  /** One of the runs that could not go on, or of all. */
  readonly example: string;
  /** Why they could not go on; absent where they could. */
  readonly problem?: string;
}

/** `anneal replay`: whether the runs on the server, or recorded ones, could go on with the code as it is. Changes nothing. */
export const replay: Command = async (context, _args, options) => {
  const project = await context.openProject();
  const { terminal } = context;
  const build = await chooseBuild(context, project, options);
  const histories = await chooseHistories(context, project, options);
  const shapes = new Map<string, Shape>();
  const saved: string[] = [];
  for await (const result of replayAll(project, build, histories)) {
    if (options.save !== undefined && result.problem === undefined && !shapes.has(result.shape))
      saved.push(await save(project, options.save, result.history));
    const before = shapes.get(result.shape);
    shapes.set(result.shape, countIn(before, result));
  }
  const found = [...shapes.values()];
  const broken = found.filter(({ problem }) => problem !== undefined);
  const runs = found.reduce((sum, shape) => sum + shape.runs, 0);
  terminal.show({ build: build.digest, runs, shapes: found, broken: broken.length, saved }, () =>
    render({ build, runs, found, broken, saved }, terminal.colors),
  );
  return broken.length === 0 ? EXIT.ok : EXIT.failed;
};

function countIn(before: Shape | undefined, { shape, name, problem }: ReplayResult): Shape {
  const why = before?.problem ?? problem;
  const example =
    before === undefined || (before.problem === undefined && problem !== undefined) ? name : before.example;
  return { shape, runs: (before?.runs ?? 0) + 1, example, ...(why === undefined ? {} : { problem: why }) };
}

async function chooseBuild(
  { terminal }: CommandContext,
  project: Project,
  { build }: CommandOptions,
): Promise<Build> {
  if (build !== undefined) return await findBuild(project, build);
  return await project.build((line) => terminal.line(terminal.colors.dim(`  ${line}`)));
}

async function chooseHistories(
  { nowMs }: CommandContext,
  project: Project,
  { histories, since = '7d', limit = '1000' }: CommandOptions,
): Promise<AsyncIterable<NamedHistory>> {
  if (histories !== undefined) {
    const { readHistories } = await import('../../workers/recorded-histories.js');
    const read = await readHistories(histories);
    return (async function* () {
      for (const history of read) yield await Promise.resolve(history);
    })();
  }
  const sinceMs = nowMs() - readSince(since);
  const { client: temporal } = await project.temporal();
  const found = readRunHistories(
    { temporal, project: project.config.project },
    { sinceMs, limit: readLimit(limit) },
  );
  return (async function* () {
    for await (const { runId, history } of found) yield { name: runId, history };
  })();
}

/** @throws AnnealError InvalidCommand. */
function readSince(text: string): number {
  try {
    return parseDuration(text);
  } catch {
    throw new AnnealError('InvalidCommand', `--since is "${text}"; it must be a duration such as 7d.`);
  }
}

async function* replayAll(
  project: Project,
  build: Build,
  histories: AsyncIterable<NamedHistory>,
): AsyncGenerator<ReplayResult & Pick<NamedHistory, 'history'>> {
  const [{ replayHistories }, { quietRuntime }, { createDataConverter, openStore }] = await Promise.all([
    import('../../workers/replay-histories.js'),
    import('../../workers/temporal-logger.js'),
    import('../../workers/open-store.js'),
  ]);
  quietRuntime();
  const dataConverter = createDataConverter(openStore(project.paths));
  yield* replayHistories({ build, dataConverter }, histories);
}

async function save(project: Project, directory: string, history: NamedHistory['history']): Promise<string> {
  const [{ saveHistory }, { createDataConverter, openStore }] = await Promise.all([
    import('../../workers/recorded-histories.js'),
    import('../../workers/open-store.js'),
  ]);
  const { payloadCodecs = [] } = createDataConverter(openStore(project.paths));
  return await saveHistory(directory, history, payloadCodecs);
}

interface Found {
  readonly build: Build;
  readonly runs: number;
  readonly found: readonly Shape[];
  readonly broken: readonly Shape[];
  readonly saved: readonly string[];
}

function render(
  { build, runs, found, broken, saved }: Found,
  colors: CommandContext['terminal']['colors'],
): string {
  if (runs === 0) return 'No runs to replay in that time.';
  const kinds = `${runs} ${runs === 1 ? 'run' : 'runs'} of ${found.length} ${found.length === 1 ? 'kind' : 'kinds'}`;
  const files = saved.length === 0 ? [] : [`Recorded ${saved.join(', ')}.`];
  if (broken.length === 0)
    return [colors.green(`Build ${shortBuild(build.digest)} could go on with ${kinds}.`), ...files].join(
      '\n',
    );
  const lines = broken.flatMap((shape) => [
    `${colors.red('✘')} ${shape.shape} (${shape.runs} ${shape.runs === 1 ? 'run' : 'runs'}, such as ${shape.example})`,
    `  ${shape.problem ?? ''}`,
  ]);
  const end =
    'Open runs end on the build that they began with, so "anneal deploy" is safe; "anneal migrate", a reset, or a history that is replayed later is not.';
  return [
    `Build ${shortBuild(build.digest)} takes another way than ${broken.length} of ${kinds}:`,
    ...lines,
    end,
    ...files,
  ].join('\n');
}
