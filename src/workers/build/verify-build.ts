import { createHash } from 'node:crypto';
import { lstat, readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { hasErrorCode } from '../../adapters/file-store/store-errors.js';
import { AnnealError } from '../../core/failures.js';
import { digestOfBuild, digestOfBundle, endsWithSourceMap, withoutSourceMap } from './build-digest.js';
import { BUILD_FILES, type Build, type BuiltStep } from './build-manifest.js';
import { digestOfCode, digestOfLock } from './step-code.js';

/**
 * Looks whether everything that a build would run is what its digest was made from.
 * @throws AnnealError BuildFailed for the first part that is not; any other error where it cannot be read.
 */
export async function verifyBuild({ digest, dir, manifest }: Build): Promise<void> {
  const refuse = (what: string) =>
    new AnnealError(
      'BuildFailed',
      `Build ${digest.slice(0, 12)} is refused: ${what} is not what its digest was made from. Deploy it again from its sources.`,
    );
  const workflows = (await readText(path.join(dir, BUILD_FILES.workflows))) ?? '';
  const tasks = await readText(path.join(dir, BUILD_FILES.activities));
  if (!endsWithSourceMap(workflows)) throw refuse(BUILD_FILES.workflows);
  if (tasks !== undefined && !endsWithSourceMap(tasks)) throw refuse(BUILD_FILES.activities);
  const found = digestOfBuild({
    ...manifest,
    workflows: withoutSourceMap(workflows),
    tasks: tasks === undefined ? undefined : withoutSourceMap(tasks),
    taskDefinitions: manifest.tasks,
  });
  if (found !== digest) throw refuse('its code or its manifest');
  const { bundles } = manifest;
  const isSaid =
    bundles === undefined ||
    (bundles.workflows === digestOfBundle(workflows) &&
      bundles.tasks === (tasks === undefined ? undefined : digestOfBundle(tasks)));
  if (!isSaid) throw refuse('what its manifest says of its bundles');
  for (const step of manifest.steps) {
    if ((await readCodeDigest(dir, step.name)) !== step.codeDigest)
      throw refuse(`the code of step "${step.name}"`);
    if (step.pythonDigest !== undefined && (await readLockDigest(dir, step)) !== step.pythonDigest)
      throw refuse(`the Python lock of step "${step.name}"`);
  }
}

async function readCodeDigest(dir: string, step: string): Promise<string> {
  const root = path.join(dir, BUILD_FILES.code, step);
  const entries = await readdir(root, { withFileTypes: true, recursive: true }).catch(() => []);
  const files = await Promise.all(
    entries
      .filter((entry) => !entry.isDirectory())
      .map(async (entry) => {
        const file = path.join(entry.parentPath, entry.name);
        const { mode } = await lstat(file);
        return {
          name: path.relative(root, file).split(path.sep).join('/'),
          executable: (mode & 0o100) !== 0,
          sha256: entry.isFile() ? sha256(await readFile(file)) : '',
        };
      }),
  );
  return digestOfCode(files.sort((a, b) => (a.name < b.name ? -1 : 1)));
}

async function readLockDigest(dir: string, { name, python }: BuiltStep): Promise<string | undefined> {
  const lock = await readText(path.join(dir, BUILD_FILES.python, `${name}.txt`));
  return lock === undefined ? undefined : digestOfLock(lock, python?.version);
}

/** Undefined where there is no such file. */
async function readText(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (hasErrorCode(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}

function sha256(contents: Buffer): string {
  return createHash('sha256').update(contents).digest('hex');
}
