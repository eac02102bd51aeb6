import { constants } from 'node:fs';
import { cp, lstat, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

import type { ExternalData } from '../adapters/external-data/create-external-data.js';
import { hasErrorCode } from '../adapters/file-store/store-errors.js';
import type { AttemptPaths } from '../adapters/process-executor/attempt-directory.js';
import type { AttemptSpec } from '../adapters/process-executor/attempt-spec.js';
import { readManifest } from '../adapters/attempt-files/stored-outcome.js';
import type { ArtifactStore } from '../core/artifact-store.js';
import type { ArtifactRef } from '../core/artifacts.js';
import type { AttemptRequest } from '../core/attempt.js';
import type { DatasetPin, PinnedObject } from '../core/dataset-pin.js';
import { AnnealError } from '../core/failures.js';
import { checkMounted, mountedPath, type MountedFile } from './mounted-inputs.js';

/** Where inputs come from. */
export interface InputSources {
  readonly store: ArtifactStore;
  readonly data: ExternalData;
}

/** Puts inputs, parameters and the step's code where its command finds them. */
export async function prepareAttempt(
  sources: InputSources,
  spec: AttemptSpec,
  paths: AttemptPaths,
): Promise<void> {
  await prepareInputs(sources, spec.request, { ...paths, mountOf: mountedPath });
  if (spec.request.code.length > 0) await copyCode(spec, paths.work);
}

/** Puts inputs and parameters where the command finds them; of those that are mounted it looks whether they are there. */
export async function prepareInputs(
  sources: InputSources,
  { inputs, parameters, access = {} }: Pick<AttemptRequest, 'inputs' | 'parameters' | 'access'>,
  paths: Pick<AttemptPaths, 'inputs' | 'parameters'> & {
    readonly mountOf: (input: string, ref: ArtifactRef) => string;
  },
): Promise<void> {
  for (const [name, ref] of Object.entries(inputs)) {
    if (access[name] === 'stream') continue;
    if (access[name] === 'mount') {
      await checkMounted(
        { name, ref },
        paths.mountOf(name, ref),
        await filesOf(sources.store, { name, ref }),
      );
      continue;
    }
    const target = path.join(paths.inputs, checkName('input', name));
    if (ref.pin) await fetchPinned(sources, { name, ref, pin: ref.pin }, target);
    else await fetchInput(sources.store, { name, ref }, target);
  }
  for (const [name, value] of Object.entries(parameters))
    await writeFile(
      path.join(paths.parameters, `${checkName('parameter', name)}.json`),
      JSON.stringify(value),
    );
}

/** A name that becomes part of a path. @throws AnnealError InvalidInput when it would leave its directory. */
export function checkName(what: string, name: string): string {
  if (/^[A-Za-z0-9_][A-Za-z0-9_.-]*$/.test(name)) return name;
  throw new AnnealError(
    'InvalidInput',
    `the ${what} "${name}" cannot be a file name. Use letters, digits, "_", "-" and ".", and start with a letter or digit.`,
  );
}

interface Input {
  readonly name: string;
  readonly ref: ArtifactRef;
}

async function fetchInput(store: ArtifactStore, { name, ref }: Input, target: string): Promise<void> {
  const key = store.keyOf(ref.uri);
  if (ref.form === 'file') {
    await store.fetchFile(key, target);
    await checkSize({ name, ref }, target, ref.sizeBytes);
    return;
  }
  const files = await readFileList(store, { name, ref });
  await mkdir(target);
  await someAtOnce(files, async (file) => {
    const local = path.join(target, ...checkSegments(file.path));
    await mkdir(path.dirname(local), { recursive: true });
    await store.fetchFile(`${key}/${file.path}`, local);
    await checkSize({ name, ref }, local, file.sizeBytes);
  });
}

/** The files of an input, whether it is in the store or was pinned outside. */
async function filesOf(store: ArtifactStore, { name, ref }: Input): Promise<readonly MountedFile[]> {
  const { pin } = ref;
  if (pin) return pin.object ? [{ ...pin.object, path: '' }] : await readListing(store, { name, ref, pin });
  return ref.form === 'file'
    ? [{ path: '', sizeBytes: ref.sizeBytes }]
    : await readFileList(store, { name, ref });
}

const AT_ONCE = 4;

/** Many small files cost a round trip each. The first that fails ends it; what is under way comes to its end. */
async function someAtOnce<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const waiting = [...items].reverse();
  const worker = async () => {
    try {
      for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) await work(next);
    } catch (error) {
      waiting.length = 0;
      throw error;
    }
  };
  const ended = await Promise.allSettled(Array.from({ length: AT_ONCE }, worker));
  for (const one of ended) if (one.status === 'rejected') throw one.reason;
}

/** A dataset outside the store, exactly as the run pinned it. */
async function fetchPinned(
  { store, data }: InputSources,
  { name, ref, pin }: Input & { readonly pin: DatasetPin },
  target: string,
): Promise<void> {
  const { source, object } = pin;
  if (object) return await data.fetch(object, { source, localPath: target });
  const objects = await readListing(store, { name, ref, pin });
  await mkdir(target);
  await someAtOnce(objects, async (next) => {
    const local = path.join(target, ...checkSegments(next.path));
    await mkdir(path.dirname(local), { recursive: true });
    await data.fetch(next, { source, localPath: local });
  });
}

async function readListing(
  store: ArtifactStore,
  { name, ref, pin }: Input & { readonly pin: DatasetPin },
): Promise<PinnedObject[]> {
  const bytes = pin.listing === undefined ? undefined : await store.readBytes(pin.listing);
  if (bytes) return JSON.parse(new TextDecoder().decode(bytes)) as PinnedObject[];
  throw new AnnealError(
    'InputMissing',
    `the list of what belongs to input "${name}" (${ref.uri}) is no longer in the store. Start a new run.`,
  );
}

/** The files of a directory are listed in the manifest of the attempt that made it, two levels above the output. */
async function readFileList(store: ArtifactStore, { name, ref }: Input) {
  const key = store.keyOf(ref.uri);
  const at = key.lastIndexOf('/outputs/');
  const manifest = at < 0 ? undefined : await readManifest(store, `${key.slice(0, at)}/manifest.json`);
  const output = Object.values(manifest?.outputs ?? {}).find(
    ({ uri, digest }) => uri === ref.uri && digest === ref.digest,
  );
  if (output) return output.files;
  throw new AnnealError(
    'InputMissing',
    `the manifest that lists the files of input "${name}" (${ref.uri}) is no longer in the store. Run the step that made it again.`,
  );
}

/** The parts of a relative path. @throws AnnealError InputMissing when it would leave its directory. */
export function checkSegments(file: string): string[] {
  const segments = file.split('/');
  if (segments.some((segment) => segment === '' || segment === '.' || segment === '..'))
    throw new AnnealError(
      'InputMissing',
      `the list of its files names "${file}", which leaves its directory. Start a new run.`,
    );
  return segments;
}

async function checkSize({ name, ref }: Input, local: string, sizeBytes: number): Promise<void> {
  const found = (await lstat(local)).size;
  if (found === sizeBytes) return;
  throw new AnnealError(
    'InputMissing',
    `input "${name}" (${ref.uri}) has ${found} bytes in "${path.basename(local)}", ${sizeBytes} were recorded. Run the step that made it again.`,
  );
}

async function copyCode(spec: AttemptSpec, work: string): Promise<void> {
  try {
    await cp(spec.codeDir, work, { recursive: true, mode: constants.COPYFILE_FICLONE });
  } catch (error) {
    if (!hasErrorCode(error, 'ENOENT', 'ENOTDIR')) throw error;
    throw new AnnealError(
      'CodeMissing',
      `its code is not in build ${spec.request.build} (${spec.request.code.join(', ')}). Check code: of the step and build again.`,
      { cause: error },
    );
  }
}
