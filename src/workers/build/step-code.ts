import { createHash } from 'node:crypto';
import { chmod, copyFile, lstat, mkdir, readdir, readFile, realpath } from 'node:fs/promises';
import path from 'node:path';
import { digestOf } from '../../core/digest.js';
import { AnnealError } from '../../core/failures.js';
import type { StepDefinition } from '../../core/step.js';

/** One file of a step's code. */
export interface CodeFile {
  /** Absolute path in the project, links followed. */
  readonly source: string;
  /** Where it lands in the working directory, with slashes. */
  readonly name: string;
  readonly executable: boolean;
  readonly sha256: string;
}

/** A step's code and Python lock, or what is wrong with them. */
export interface StepFiles {
  readonly code: readonly CodeFile[];
  readonly codeDigest: string;
  /** Directories that were listed, so that a new file in one is noticed. */
  readonly directories: readonly string[];
  /** The lock's path, and its text as it was hashed. */
  readonly python?: { readonly lock: string; readonly text: string; readonly digest: string };
  readonly problems: readonly string[];
}

/** Never code: caches, version control, environments, what Anneal keeps. */
const LEFT_OUT = new Set([
  '__pycache__',
  '.git',
  '.anneal',
  '.venv',
  'node_modules',
  '.ipynb_checkpoints',
  '.DS_Store',
]);

/**
 * Finds and hashes what a step needs beside its image: its code files (a file lands by its base name, a directory by its contents) and
 * its Python lock. Reads only.
 * @param root the project; everything must be in it, links followed.
 */
export async function readStepFiles(step: StepDefinition, root: string): Promise<StepFiles> {
  const problems: string[] = [];
  const code: CodeFile[] = [];
  const directories: string[] = [];
  const landed = new Map<string, string>();
  for (const written of step.code) {
    const found = await filesOf({ step, root, written, what: 'code' }, { problems, directories });
    for (const file of found) {
      const other = landed.get(file.name);
      if (other === file.source) continue;
      if (other !== undefined)
        problems.push(
          `Step "${step.name}" has two code files that land on "${file.name}": ${show(root, other)} and ${show(root, file.source)}. Rename one.`,
        );
      landed.set(file.name, file.source);
      code.push(file);
    }
  }
  const python = await readLock(step, root, problems);
  code.sort((a, b) => (a.name < b.name ? -1 : 1));
  return {
    code,
    codeDigest: digestOfCode(code),
    directories,
    ...(python === undefined ? {} : { python }),
    problems,
  };
}

/** Digest of a step's code files, which are in the order of their names. */
export function digestOfCode(code: readonly Omit<CodeFile, 'source'>[]): string {
  return digestOf(code.map(({ name, executable, sha256 }) => ({ name, executable, sha256 })));
}

/** Digest of a step's Python lock and version. */
export function digestOfLock(requirements: string, version: string | undefined): string {
  return digestOf({ requirements, ...(version === undefined ? {} : { version }) });
}

/**
 * Copies a step's code below a directory, as it lands in a working directory.
 * @throws AnnealError BuildFailed when a file is not what was hashed: the build would hold other code than its digest says.
 */
export async function copyStepCode(files: readonly CodeFile[], directory: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  for (const { source, name, executable, sha256 } of files) {
    const target = path.join(directory, ...name.split('/'));
    await mkdir(path.dirname(target), { recursive: true });
    await copyHashed({ source, target, sha256 });
    await chmod(target, executable ? 0o755 : 0o644);
  }
}

/** Copies a file that was hashed before. @throws AnnealError BuildFailed when it has changed since. */
async function copyHashed(file: {
  readonly source: string;
  readonly target: string;
  readonly sha256: string;
}): Promise<void> {
  await copyFile(file.source, file.target);
  const found = createHash('sha256')
    .update(await readFile(file.target))
    .digest('hex');
  if (found !== file.sha256)
    throw new AnnealError('BuildFailed', `${file.source} changed while it was built. Build again.`);
}

interface WrittenPath {
  readonly step: StepDefinition;
  readonly root: string;
  readonly written: string;
  readonly what: 'code' | 'python.requirements';
}

async function filesOf(
  given: WrittenPath,
  { problems, directories }: { readonly problems: string[]; readonly directories: string[] },
): Promise<CodeFile[]> {
  const top = await resolveInside(given, problems);
  if (top === undefined) return [];
  const files: CodeFile[] = [];
  if (!(await lstat(top)).isDirectory()) return [await readCodeFile(top, path.basename(given.written))];
  const walk = async (directory: string, prefix: string): Promise<void> => {
    directories.push(directory);
    for (const entry of await readdir(directory, { withFileTypes: true })) {
      if (LEFT_OUT.has(entry.name) || entry.name.endsWith('.pyc')) continue;
      const name = `${prefix}${entry.name}`;
      const written = path.relative(given.root, path.join(directory, entry.name));
      const source = entry.isSymbolicLink()
        ? await resolveInside({ ...given, written }, problems)
        : path.join(directory, entry.name);
      if (source === undefined) continue;
      const stats = await lstat(source);
      if (stats.isDirectory() && entry.isSymbolicLink())
        problems.push(
          `Step "${given.step.name}" has code with a link to a directory, ${written}; links to files only. Name the directory itself in code.`,
        );
      else if (stats.isDirectory()) await walk(source, `${name}/`);
      else if (stats.isFile()) files.push(await readCodeFile(source, name));
    }
  };
  await walk(top, '');
  return files;
}

/** The real path of something written in a step, or nothing and a problem. */
async function resolveInside(
  { step, root, written, what }: WrittenPath,
  problems: string[],
): Promise<string | undefined> {
  const absolute = path.resolve(root, written);
  const real = await realpath(absolute).catch(() => undefined);
  if (real === undefined)
    problems.push(
      `Step "${step.name}" names ${what} "${written}", which does not exist (looked for ${absolute}). Paths are relative to anneal.yaml.`,
    );
  else if (isOutside(root, absolute) || isOutside(await realpath(root), real))
    problems.push(
      `Step "${step.name}" names ${what} "${written}", which is outside the project (${real}). Move it below ${root}.`,
    );
  else return real;
  return undefined;
}

function isOutside(root: string, file: string): boolean {
  const relative = path.relative(root, file);
  return relative === '..' || relative.startsWith(`..${path.sep}`) || path.isAbsolute(relative);
}

async function readCodeFile(source: string, name: string): Promise<CodeFile> {
  const [contents, stats] = await Promise.all([readFile(source), lstat(source)]);
  return {
    source,
    name,
    executable: (stats.mode & 0o100) !== 0,
    sha256: createHash('sha256').update(contents).digest('hex'),
  };
}

async function readLock(
  step: StepDefinition,
  root: string,
  problems: string[],
): Promise<StepFiles['python']> {
  if (step.python === undefined) return undefined;
  const { requirements, version } = step.python;
  const lock = await resolveInside(
    { step, root, written: requirements, what: 'python.requirements' },
    problems,
  );
  if (lock === undefined) return undefined;
  const text = await readFile(lock, 'utf8').catch(() => undefined);
  if (text === undefined)
    problems.push(
      `Step "${step.name}" names python.requirements "${requirements}", which is not a file that can be read. Name a hashed lock.`,
    );
  return text === undefined ? undefined : { lock, text, digest: digestOfLock(text, version) };
}

function show(root: string, file: string): string {
  return path.relative(root, file);
}
