import { access, chmod, mkdir, mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { storeKeys, type ArtifactStore } from '../core/artifact-store.js';
import { AnnealError } from '../core/failures.js';
import { stepCodeKeys, type StepCode } from '../core/pod-launch.js';
import { BUILD_FILES, BUILD_VERSION, type Build, type BuildManifest } from './build/build-manifest.js';
import { loadBuild } from './build/load-build.js';
import { verifyBuild } from './build/verify-build.js';
import { publish } from './build/write-build.js';

/** The store that builds are in, and the directory where this machine keeps those that it uses. */
export interface FetchPlace {
  readonly store: Pick<ArtifactStore, 'readBytes'>;
  readonly buildsDir: string;
}

/** Beside the files of a build that came from the store: such a build may be removed, since it can be fetched again. */
export const FETCHED = 'fetched';

/**
 * A build on this machine, fetched from the store where it is not here yet. Whatever is given out has the digest: what does not is fetched anew.
 * @throws AnnealError BuildFailed where it is not in the store, or has another digest; StoreUnavailable.
 */
export async function fetchBuild(place: FetchPlace, digest: string): Promise<Build> {
  const { buildsDir } = place;
  const here = await loadBuild(buildsDir, digest).catch(() => undefined);
  if (here !== undefined) {
    if (await isSound(here)) {
      const now = new Date();
      await utimes(path.join(here.dir, FETCHED), now, now).catch(() => undefined);
      return here;
    }
  }
  await mkdir(buildsDir, { recursive: true });
  const draft = await mkdtemp(path.join(buildsDir, '.draft-'));
  try {
    const manifest = await readStoredManifest(place.store, digest);
    if (manifest === undefined) throw notThere(digest);
    await fetchFiles(place.store, { digest, dir: draft, manifest });
    await verifyBuild({ digest, dir: draft, manifest });
    await writeFile(path.join(draft, FETCHED), '');
    // A damaged one goes when there is another: the store may be away.
    if (here !== undefined) await rm(here.dir, { recursive: true, force: true });
    await publish(draft, path.join(buildsDir, digest));
    return await loadBuild(buildsDir, digest);
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

/** @throws what keeps it from being read: that says nothing of its bytes. */
async function isSound(build: Build): Promise<boolean> {
  try {
    await verifyBuild(build);
    return true;
  } catch (error) {
    if (error instanceof AnnealError) return false;
    throw error;
  }
}

/** Fetches builds that steps of pools need; each is looked at once. */
export function createEnsureBuild(place: FetchPlace): (digest: string) => Promise<void> {
  const ensured = new Map<string, Promise<unknown>>();
  return async (digest) => {
    const isHere = await access(path.join(place.buildsDir, digest, BUILD_FILES.manifest)).then(
      () => true,
      () => false,
    );
    const known = isHere ? ensured.get(digest) : undefined;
    const work = known ?? fetchBuild(place, digest);
    ensured.set(digest, work);
    work.catch(() => ensured.delete(digest));
    await work;
  };
}

/** What a build in the store holds; `undefined` where it is not there, or not whole. @throws AnnealError BuildFailed for another layout. */
export async function readStoredManifest(
  store: FetchPlace['store'],
  digest: string,
): Promise<BuildManifest | undefined> {
  if (!/^[0-9a-f]{64}$/.test(digest)) return undefined;
  const bytes = await store.readBytes(storeKeys.build(digest) + BUILD_FILES.manifest);
  if (bytes === undefined) return undefined;
  const manifest = readJson<BuildManifest>(bytes);
  if (manifest?.digest === digest && manifest.version === BUILD_VERSION) return manifest;
  throw new AnnealError(
    'BuildFailed',
    `Build ${digest.slice(0, 12)} in the store cannot be read by this version, which reads layout ${BUILD_VERSION}. Deploy it again with the version of Anneal that the workers have.`,
  );
}

function readJson<T>(bytes: Uint8Array): T | undefined {
  try {
    return JSON.parse(new TextDecoder().decode(bytes)) as T;
  } catch {
    return undefined;
  }
}

async function fetchFiles(store: FetchPlace['store'], { digest, dir, manifest }: Build): Promise<void> {
  const prefix = storeKeys.build(digest);
  const read = async (key: string) => {
    const bytes = await store.readBytes(key);
    if (bytes === undefined) throw notThere(digest);
    return bytes;
  };
  await writeFile(path.join(dir, BUILD_FILES.manifest), await read(prefix + BUILD_FILES.manifest));
  await writeFile(path.join(dir, BUILD_FILES.workflows), await read(prefix + BUILD_FILES.workflows));
  const tasks = await store.readBytes(prefix + BUILD_FILES.activities);
  if (tasks !== undefined) await writeFile(path.join(dir, BUILD_FILES.activities), tasks);
  for (const { name, pythonDigest } of manifest.steps) {
    const code = storeKeys.stepCode(digest, name);
    const list = readJson<StepCode>(await read(stepCodeKeys.list(code)));
    if (list === undefined) throw notThere(digest);
    await mkdir(path.join(dir, BUILD_FILES.code, name), { recursive: true });
    for (const { path: file, executable } of list.files)
      await writeUnder(path.join(dir, BUILD_FILES.code, name), {
        name: file,
        bytes: await read(stepCodeKeys.file(code, file)),
        mode: executable ? 0o755 : 0o644,
      });
    const lock = `${BUILD_FILES.python}/${name}.txt`;
    if (pythonDigest !== undefined)
      await writeUnder(dir, { name: lock, bytes: await read(prefix + lock), mode: 0o644 });
  }
}

/** The name was a key of the store, which takes none that leads elsewhere. */
async function writeUnder(
  dir: string,
  { name, bytes, mode }: { readonly name: string; readonly bytes: Uint8Array; readonly mode: number },
): Promise<void> {
  const file = path.join(dir, ...name.split('/'));
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(file, bytes);
  await chmod(file, mode);
}

function notThere(digest: string): AnnealError {
  return new AnnealError(
    'BuildFailed',
    `Build ${digest.slice(0, 12)} is not, or not wholly, in the store. Put it there from its sources with: anneal deploy`,
  );
}
