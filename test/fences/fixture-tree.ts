import { cp, mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository's root, where the fences are configured. */
export const repositoryRoot = fileURLToPath(new URL('../..', import.meta.url));

const COMPILER_PROJECTS = [
  'tsconfig.base.json',
  'tsconfig.build.json',
  'tsconfig.json',
  'tsconfig.node.json',
  'tsconfig.sandbox.json',
  'packages/mlflow-ts-client/tsconfig.json',
];

/** Packages that fixtures import, as stubs: the fences judge names, not contents. */
const STUB_PACKAGES = ['@noble/hashes', '@temporalio/workflow', '@temporalio/client', 'commander'];

/**
 * Runs `use` on a temporary project with the repository's compiler settings and the given files, and removes it afterwards.
 * @param files contents by path relative to the project's root
 */
export async function withFixtureTree(
  files: Record<string, string>,
  use: (root: string) => Promise<void>,
): Promise<void> {
  // macOS links its temporary folder; the tools report real paths.
  const root = await mkdtemp(join(await realpath(tmpdir()), 'anneal-fences-'));
  try {
    for (const project of COMPILER_PROJECTS) await cp(join(repositoryRoot, project), join(root, project));
    await writeInside(root, 'package.json', JSON.stringify({ name: 'fixture', type: 'module' }));
    await mkdir(join(root, 'node_modules'));
    await symlink(join(repositoryRoot, 'node_modules/@types'), join(root, 'node_modules/@types'));
    for (const name of STUB_PACKAGES) {
      const manifest = { name, version: '0.0.0', main: './index.js' };
      await writeInside(root, `node_modules/${name}/package.json`, JSON.stringify(manifest));
      await writeInside(root, `node_modules/${name}/index.js`, 'exports.stub = 1;\n');
    }
    for (const [path, text] of Object.entries(files)) await writeInside(root, path, text);
    await use(root);
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

async function writeInside(root: string, path: string, text: string): Promise<void> {
  const target = join(root, path);
  await mkdir(dirname(target), { recursive: true });
  await writeFile(target, text);
}
