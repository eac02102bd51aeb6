import type { RunProgram } from './run-program.js';
import { SetupError } from './setup-error.js';

/** A Python interpreter: the real executable behind shims and links, and its full version. */
export interface PythonInterpreter {
  readonly executable: string;
  readonly version: string;
}

/** What {@link findPython} needs. */
export interface FindPythonOptions {
  readonly run: RunProgram;
  readonly env: NodeJS.ProcessEnv;
  /** Wanted version, `3.11` or `3.11.7`; any from 3.10 on when left out. */
  readonly version?: string;
}

/**
 * The first interpreter that fits: `ANNEAL_PYTHON`, then `python<version>`, `python3` and newer names on PATH. Where any version would
 * do, one that is set is the only one.
 *
 * @throws SetupError that names what was found instead.
 */
export async function findPython(options: FindPythonOptions): Promise<PythonInterpreter> {
  const { version } = options;
  const set = options.env['ANNEAL_PYTHON'] === '' ? undefined : options.env['ANNEAL_PYTHON'];
  const names = [
    ...(set === undefined ? [] : [set]),
    ...(set === undefined || version !== undefined ? candidates(version) : []),
  ];
  const found: string[] = [];
  for (const name of names) {
    const python = await probe(name, options);
    if (python === undefined) continue;
    if (fits(python.version, version)) return python;
    found.push(`${python.version} at ${python.executable}`);
  }
  const wanted = version ?? `${MINIMUM.join('.')} or later`;
  const instead =
    found.length > 0
      ? `found ${[...new Set(found)].join(', ')}`
      : `found none ${[...(set === undefined ? [] : [`at ${set}`]), ...(names.length > 1 ? ['on PATH'] : [])].join(' or ')}`;
  throw new SetupError(
    `Python ${wanted} is needed, ${instead}. Install it, or set ANNEAL_PYTHON to its path.`,
  );
}

const MINIMUM = [3, 10] as const;
const NEWER = ['3.14', '3.13', '3.12', '3.11', '3.10'];
const SCRIPT = 'import sys; print(sys.executable); print(".".join(map(str, sys.version_info[:3])))';

function candidates(version: string | undefined): string[] {
  const minor = version?.split('.').slice(0, 2).join('.');
  return [
    ...(minor === undefined ? [] : [`python${minor}`]),
    'python3',
    'python',
    ...NEWER.map((each) => `python${each}`),
  ];
}

async function probe(file: string, { run, env }: FindPythonOptions): Promise<PythonInterpreter | undefined> {
  // -I keeps the user's PYTHONPATH and current folder out of the answer.
  const result = await run({ file, args: ['-I', '-c', SCRIPT], env, timeoutMs: 20_000 });
  const [executable, version] = result.stdout.trim().split('\n');
  if (result.code !== 0 || executable === undefined || version === undefined) return undefined;
  return { executable, version };
}

function fits(version: string, wanted: string | undefined): boolean {
  if (wanted !== undefined) return version === wanted || version.startsWith(`${wanted}.`);
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major === MINIMUM[0] && minor >= MINIMUM[1];
}
