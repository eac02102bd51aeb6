import { lstat, readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import type { ArtifactStore } from '../core/artifact-store.js';
import { storeKeys } from '../core/artifact-store.js';
import { AnnealError } from '../core/failures.js';
import { stepCodeKeys, type StepCode, type StepCodeFile } from '../core/pod-launch.js';
import { BUILD_FILES } from './build/build-manifest.js';

/** One step's code of a build. */
export interface ShippedCode {
  readonly build: string;
  readonly step: string;
}

/** The part of a store that code is put into. */
type CodeStore = Pick<ArtifactStore, 'putBytes' | 'putFile' | 'stat'>;

/**
 * Puts a step's code into the store, once for each build, so that pods find it. Its list is written last: code with a list is whole. A worker that
 * does not have the build finds what another, or `anneal deploy`, has shipped.
 * @throws AnnealError CodeMissing where neither is the case.
 */
export function createShipCode(store: CodeStore, buildsDir: string): (code: ShippedCode) => Promise<void> {
  const shipping = new Map<string, Promise<void>>();
  return async (code) => {
    const id = `${code.build}/${code.step}`;
    const work =
      shipping.get(id) ??
      // Looked at again by the next attempt: `anneal gc` may have removed it.
      ship(store, buildsDir, code).finally(() => shipping.delete(id));
    shipping.set(id, work);
    await work;
  };
}

async function ship(store: CodeStore, buildsDir: string, { build, step }: ShippedCode): Promise<void> {
  const prefix = storeKeys.stepCode(build, step);
  if ((await store.stat(stepCodeKeys.list(prefix))) !== undefined) return;
  const root = path.join(buildsDir, build, BUILD_FILES.code, step);
  const files = await listFiles(root);
  if (files === undefined)
    throw new AnnealError(
      'CodeMissing',
      `Its code is neither in the store nor in build ${build.slice(0, 12)} on this machine. Start a worker where the build is, or run "anneal deploy".`,
    );
  await putCode(store, prefix, files);
}

/**
 * Puts a step's code of a build on this machine into the store, unless all of it is there.
 * @param stored sizes by key of what is there.
 */
export async function completeStepCode(
  store: CodeStore & Pick<ArtifactStore, 'readBytes'>,
  { build, step, dir }: ShippedCode & { readonly dir: string },
  stored: ReadonlyMap<string, number>,
): Promise<void> {
  const prefix = storeKeys.stepCode(build, step);
  const files = (await listFiles(path.join(dir, BUILD_FILES.code, step))) ?? [];
  let isWhole = stored.has(stepCodeKeys.list(prefix));
  for (const { name, file } of files)
    isWhole &&= await isStored(store, { key: stepCodeKeys.file(prefix, name), file }, stored);
  if (!isWhole) await putCode(store, prefix, files);
}

/** Whether an object has the bytes of a file. */
export async function isStored(
  store: Pick<ArtifactStore, 'readBytes'>,
  { key, file }: { readonly key: string; readonly file: string },
  stored: ReadonlyMap<string, number>,
): Promise<boolean> {
  if (stored.get(key) !== (await lstat(file)).size) return false;
  const bytes = await store.readBytes(key);
  return bytes !== undefined && Buffer.from(bytes).equals(await readFile(file));
}

interface LocalFile {
  readonly name: string;
  readonly file: string;
  readonly sizeBytes: number;
  readonly executable: boolean;
}

async function putCode(store: CodeStore, prefix: string, files: readonly LocalFile[]): Promise<void> {
  const entries: StepCodeFile[] = [];
  for (const { name, file, executable } of files) {
    const stored = await store.putFile(stepCodeKeys.file(prefix, name), file);
    entries.push({ ...stored, path: name, executable });
  }
  const list: StepCode = { version: 1, files: entries };
  await store.putBytes(stepCodeKeys.list(prefix), Buffer.from(JSON.stringify(list)));
}

/** Regular files below a directory, with slashes, by name; `undefined` where there is no such directory. */
async function listFiles(root: string): Promise<LocalFile[] | undefined> {
  const entries = await readdir(root, { withFileTypes: true, recursive: true }).catch(() => undefined);
  if (entries === undefined) return undefined;
  const files = entries
    .filter((entry) => entry.isFile())
    .map(async (entry) => {
      const file = path.join(entry.parentPath, entry.name);
      const { mode, size: sizeBytes } = await lstat(file);
      const name = path.relative(root, file).split(path.sep).join('/');
      return { name, file, sizeBytes, executable: (mode & 0o100) !== 0 };
    });
  return (await Promise.all(files)).sort((a, b) => (a.name < b.name ? -1 : 1));
}
