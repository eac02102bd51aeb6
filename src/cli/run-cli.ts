import { CommanderError } from 'commander';
import { AnnealError } from '../core/failures.js';
import { createCommandWording, type CalledAs } from './called-as.js';
import type { CommandContext, CommandOptions } from './command.js';
import type { Project } from './context.js';
import { packageVersion } from './package-version.js';
import type { RunCommand } from './add-command.js';
import { createProgram } from './program.js';
import { EXIT, reportError } from './report-error.js';
import { createTerminal, type TerminalStreams } from './terminal.js';

/** What the CLI stands on; tests put in their own. */
export interface CliDeps extends TerminalStreams {
  readonly cwd: string;
  readonly nowMs: () => number;
  readonly openProject: (options: {
    readonly cwd: string;
    readonly env: TerminalStreams['env'];
    readonly path?: string;
  }) => Promise<Project>;
  readonly interruptible: CommandContext['interruptible'];
  readonly ask?: CommandContext['ask'];
  /** How commands are written in texts. Default: `anneal`. */
  readonly calledAs?: CalledAs;
}

interface Outcome {
  exitCode: number;
  traceDir: string | undefined;
}

/** Runs one command line and answers with the exit code. Never rejects. */
export async function runCli(argv: readonly string[], deps: CliDeps): Promise<number> {
  const outcome: Outcome = { exitCode: EXIT.ok, traceDir: undefined };
  const json = argv.includes('--json');
  const run: RunCommand = async (load, args, options) => {
    outcome.exitCode = await runCommand(await load(), { args, options, deps, outcome, asCalled });
  };
  const program = createProgram(run, packageVersion());
  const asCalled = createCommandWording(
    deps.calledAs ?? 'anneal',
    program.commands.map((command) => command.name()),
  );
  let shown = '';
  const output = { writeOut: (text: string) => void (shown += text), writeErr: () => undefined };
  for (const command of withSubcommands(program)) command.exitOverride().configureOutput(output);
  try {
    if (argv.length === 0) program.outputHelp();
    else await program.parseAsync([...argv], { from: 'user' });
    return outcome.exitCode;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return EXIT.ok;
    return await reportError(toUsageError(error, argv), createTerminal(deps, { json, asCalled }), {
      env: deps.env,
      traceDir: outcome.traceDir,
    });
  } finally {
    // Only help and the version come this way.
    const text = asCalled(shown);
    if (shown !== '') deps.stdout.write(json ? `${JSON.stringify(toDocument(text), null, 2)}\n` : text);
  }
}

/** The version is one word, help is not. */
function toDocument(shown: string): { readonly version: string } | { readonly help: string } {
  const text = shown.trim();
  return /^\S+$/.test(text) ? { version: text } : { help: text };
}

async function runCommand(
  command: Awaited<ReturnType<Parameters<RunCommand>[0]>>,
  {
    args,
    options,
    deps,
    outcome,
    asCalled,
  }: {
    readonly args: readonly string[];
    readonly options: CommandOptions;
    readonly deps: CliDeps;
    readonly outcome: Outcome;
    readonly asCalled: (text: string) => string;
  },
): Promise<number> {
  const { env, cwd, nowMs, interruptible, ask } = deps;
  let project: Promise<Project> | undefined;
  const openProject = async () => {
    const opened = await (project ??= deps.openProject({
      cwd,
      env,
      ...(options.project === undefined ? {} : { path: options.project }),
    }));
    outcome.traceDir = opened.paths.stateDir;
    return opened;
  };
  const terminal = createTerminal(deps, { json: options.json === true, asCalled });
  try {
    const asking = ask === undefined || options.json === true ? {} : { ask };
    return await command({ terminal, env, cwd, nowMs, interruptible, openProject, ...asking }, args, options);
  } finally {
    await project?.then(
      async (opened) => await opened.close(),
      () => undefined,
    );
  }
}

/** Commander's own words are about the command line: what is wrong, and "did you mean". */
function toUsageError(error: unknown, argv: readonly string[]): unknown {
  if (!(error instanceof CommanderError)) return error;
  if (error.code === 'commander.help')
    return new AnnealError(
      'InvalidCommand',
      `"anneal ${argv.join(' ')}" names no command. See: anneal ${argv.join(' ')} --help`,
    );
  const said = error.message
    .replace(/^error: /, '')
    .replace(/\s*\n\s*\(?(Did you mean [^)]*?)\)?$/s, '. $1')
    .trim();
  const sentence = `${said.charAt(0).toUpperCase()}${said.slice(1)}${/[.?]$/.test(said) ? '' : '.'}`;
  const command =
    argv[0] !== undefined && /^[a-z]+$/.test(argv[0]) && error.code !== 'commander.unknownCommand'
      ? `${argv[0]} `
      : '';
  return new AnnealError('InvalidCommand', `${sentence} See: anneal ${command}--help`, { cause: error });
}

function* withSubcommands(
  command: ReturnType<typeof createProgram>,
): Generator<ReturnType<typeof createProgram>> {
  yield command;
  for (const one of command.commands) yield* withSubcommands(one);
}
