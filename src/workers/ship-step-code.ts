import { lstat, readdir } from 'node:fs/promises';
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

/**
 * Puts a step's code into the store, once for each build, so that pods find it. Its list is written last: code with a list is whole. A worker that
 * does not have the build finds what another, or `anneal deploy`, has shipped.
 * @throws AnnealError CodeMissing where neither is the case.
 */
export function createShipCode(
  store: ArtifactStore,
  buildsDir: string,
): (code: ShippedCode) => Promise<void> {
  const shipped = new Map<string, Promise<void>>();
  return async (code) => {
    const id = `${code.build}/${code.step}`;
    const work = shipped.get(id) ?? ship(store, buildsDir, code);
    shipped.set(id, work);
    // What failed is tried again by the next attempt that needs it.
    work.catch(() => shipped.delete(id));
    await work;
  };
}

async function ship(store: ArtifactStore, buildsDir: string, { build, step }: ShippedCode): Promise<void> {
  const prefix = storeKeys.stepCode(build, step);
  if ((await store.stat(stepCodeKeys.list(prefix))) !== undefined) return;
  const root = path.join(buildsDir, build, BUILD_FILES.code, step);
  const names = await listFiles(root);
  if (names === undefined)
    throw new AnnealError(
      'CodeMissing',
      `Its code is neither in the store nor in build ${build.slice(0, 12)} on this machine. Start a worker where the build is, or run "anneal deploy".`,
    );
  const files: StepCodeFile[] = [];
  for (const name of names) {
    const local = path.join(root, ...name.split('/'));
    const { mode } = await lstat(local);
    const stored = await store.putFile(stepCodeKeys.file(prefix, name), local);
    files.push({ ...stored, path: name, executable: (mode & 0o100) !== 0 });
  }
  const list: StepCode = { version: 1, files };
  await store.putBytes(stepCodeKeys.list(prefix), Buffer.from(JSON.stringify(list)), { ifAbsent: true });
}

/** Regular files below a directory, with slashes; `undefined` where there is no such directory. */
async function listFiles(root: string): Promise<string[] | undefined> {
  const entries = await readdir(root, { withFileTypes: true, recursive: true }).catch(() => undefined);
  return entries
    ?.filter((entry) => entry.isFile())
    .map((entry) => path.relative(root, path.join(entry.parentPath, entry.name)).split(path.sep).join('/'))
    .sort();
}
