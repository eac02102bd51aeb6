import { existsSync } from 'node:fs';
import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import type { PodPaths } from '../../src/core/pod-layout.js';
import { podPaths } from '../../src/core/pod-layout.js';

/** A pod's volume as it is before the fetch container has run, without a cluster. */
export interface PodVolume {
  readonly paths: PodPaths;
  remove(): Promise<void>;
}

/** The wrapper as it is in the source tree. */
export const WRAPPER = fileURLToPath(new URL('../../src/agent/pod/wrapper.sh', import.meta.url));

/** An empty volume in a temporary directory. */
export async function createVolume(): Promise<PodVolume> {
  const root = await mkdtemp(path.join(tmpdir(), 'anneal-pod-'));
  return { paths: podPaths(root), remove: () => rm(root, { recursive: true, force: true }) };
}

/** A volume in which the wrapper can run, as the fetch container leaves it. */
export async function createPreparedVolume(): Promise<PodVolume> {
  const volume = await createVolume();
  const { paths } = volume;
  for (const folder of [
    path.dirname(paths.busybox),
    paths.control,
    path.dirname(paths.log),
    paths.work,
    paths.outputs,
    paths.checkpoints,
    paths.home,
    paths.temporary,
  ])
    await mkdir(folder, { recursive: true });
  await installBusybox(paths.busybox);
  await copyFile(WRAPPER, paths.wrapper);
  return volume;
}

/** Puts a static busybox at a path; where this machine has none, a script that calls the machine's own programs in its place. */
export async function installBusybox(target: string): Promise<void> {
  const found = busyboxOfMachine();
  if (found === undefined) await writeFile(target, '#!/bin/sh\nexec "$@"\n');
  else await copyFile(found, target);
  await chmod(target, 0o755);
}

function busyboxOfMachine(): string | undefined {
  const cache = process.env['XDG_CACHE_HOME'] ?? path.join(homedir(), '.cache');
  const folders = [
    ...(process.env['PATH'] ?? '').split(path.delimiter),
    path.join(cache, 'anneal', 'cluster'),
  ];
  return [process.env['ANNEAL_TEST_BUSYBOX'], ...folders.map((folder) => path.join(folder, 'busybox'))].find(
    (file) => file !== undefined && existsSync(file),
  );
}

/** The text of a file, without the newline at its end; `undefined` when it is not there. */
export async function readText(file: string): Promise<string | undefined> {
  return await readFile(file, 'utf8').then(
    (text) => text.trimEnd(),
    () => undefined,
  );
}
