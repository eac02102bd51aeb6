import { chmod, copyFile, lstat, mkdir, rename } from 'node:fs/promises';
import path from 'node:path';

import { hashRegularFile } from '../../adapters/file-store/copy-regular-file.js';
import type { ArtifactStore } from '../../core/artifact-store.js';
import { storeKeys } from '../../core/artifact-store.js';
import { AnnealError } from '../../core/failures.js';
import type { StepCode, StepCodeFile } from '../../core/pod-launch.js';
import { stepCodeKeys } from '../../core/pod-launch.js';
import { checkSegments } from '../prepare-attempt.js';

/**
 * Puts the code of a step of a build into its working directory, every file checked by its digest.
 * @throws AnnealError CodeMissing when it is not in the store, or is not what was put there.
 */
export async function fetchStepCode(
  store: ArtifactStore,
  of: { readonly build: string; readonly step: string },
  work: string,
): Promise<void> {
  const prefix = storeKeys.stepCode(of.build, of.step);
  const bytes = await store.readBytes(stepCodeKeys.list(prefix));
  if (bytes === undefined)
    throw new AnnealError(
      'CodeMissing',
      `its code of build ${of.build} is not in the store (${store.uriOf(prefix)}). Start a worker that has the build, and run it again.`,
    );
  const { files } = JSON.parse(new TextDecoder().decode(bytes)) as StepCode;
  for (const file of files) {
    const local = path.join(work, ...checkSegments(file.path));
    await mkdir(path.dirname(local), { recursive: true });
    await store.fetchFile(stepCodeKeys.file(prefix, file.path), local);
    await makeOwn(local, file);
  }
}

/** The command may change its code: it must not share bytes with a store in a directory. */
async function makeOwn(local: string, file: StepCodeFile): Promise<void> {
  if ((await lstat(local)).nlink > 1) {
    await copyFile(local, `${local}.own`);
    await rename(`${local}.own`, local);
  }
  await chmod(local, file.executable ? 0o755 : 0o644);
  const { sha256 } = await hashRegularFile(local);
  if (sha256 !== file.sha256)
    throw new AnnealError(
      'CodeMissing',
      `its file "${file.path}" is not what its build put into the store. Build again.`,
    );
}
