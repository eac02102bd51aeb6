import { createHash } from 'node:crypto';
import { readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';

/** What the last build was made from. Written and read by the same version of Anneal only: `asked` holds it. */
export interface BuildInputs {
  /** What the build was asked: another question means another build. */
  readonly asked: string;
  readonly digest: string;
  readonly files: readonly {
    readonly file: string;
    readonly size: number;
    readonly mtimeMs: number;
    readonly sha256: string;
  }[];
  /** Directories of step code with the names in them, so that a new file is noticed. */
  readonly directories: readonly { readonly directory: string; readonly names: string }[];
  readonly warnings: readonly string[];
}

/** The record of the last build that was made from what is on disk now, or nothing. */
export async function readUnchangedInputs(file: string, asked: string): Promise<BuildInputs | undefined> {
  const inputs = await readFile(file, 'utf8').then(
    (text) => JSON.parse(text) as BuildInputs,
    () => undefined,
  );
  if (inputs === undefined || inputs.asked !== asked) return undefined;
  const same = await Promise.all([...inputs.files.map(isUnchanged), ...inputs.directories.map(hasSameNames)]);
  return same.every(Boolean) ? inputs : undefined;
}

/** What {@link writeInputs} writes down. */
export interface MadeFrom {
  readonly asked: string;
  readonly digest: string;
  readonly files: readonly string[];
  readonly directories: readonly string[];
  readonly warnings: readonly string[];
  /** When the build began: files that changed since may not be what it read. */
  readonly startedMs: number;
}

/** Writes down what a build was made from, unless something changed while it was made. */
export async function writeInputs(file: string, made: MadeFrom): Promise<void> {
  const files = await Promise.all(made.files.map(readInput));
  if (files.some(({ mtimeMs }) => mtimeMs >= made.startedMs)) return rm(file, { force: true });
  const directories = await Promise.all(
    made.directories.map(async (directory) => ({ directory, names: await namesIn(directory) })),
  );
  const inputs: BuildInputs = {
    asked: made.asked,
    digest: made.digest,
    files,
    directories,
    warnings: made.warnings,
  };
  const draft = `${file}.${process.pid}.tmp`;
  await writeFile(draft, JSON.stringify(inputs));
  await rename(draft, file);
}

type Input = BuildInputs['files'][number];

async function readInput(file: string): Promise<Input> {
  const [{ size, mtimeMs }, contents] = await Promise.all([stat(file), readFile(file)]);
  return { file, size, mtimeMs, sha256: hashOf(contents) };
}

async function isUnchanged({ file, size, mtimeMs, sha256 }: Input): Promise<boolean> {
  const now = await stat(file).catch(() => undefined);
  if (now === undefined || now.size !== size) return false;
  return now.mtimeMs === mtimeMs || hashOf(await readFile(file)) === sha256;
}

async function hasSameNames({ directory, names }: BuildInputs['directories'][number]): Promise<boolean> {
  return (await namesIn(directory).catch(() => undefined)) === names;
}

async function namesIn(directory: string): Promise<string> {
  const entries = await readdir(directory, { withFileTypes: true });
  return entries
    .filter(({ name }) => name !== '__pycache__')
    .map((entry) => (entry.isDirectory() ? `${entry.name}${path.sep}` : entry.name))
    .toSorted()
    .join('\n');
}

function hashOf(contents: Buffer): string {
  return createHash('sha256').update(contents).digest('hex');
}
