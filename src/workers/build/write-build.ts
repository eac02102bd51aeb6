import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { digestOf } from '../../core/digest.js';
import type { CodeOrigin } from '../../core/lineage.js';
import { digestOfBundle } from './build-digest.js';
import { BUILD_FILES, BUILD_VERSION } from './build-manifest.js';
import type { Build, BuildManifest } from './build-manifest.js';
import type { BuildParts } from './build-parts.js';
import { loadBuild } from './load-build.js';
import { copyStepCode } from './step-code.js';

/** Puts a build into its directory, whole or not at all; a build of that digest that is there already is kept. */
export async function writeBuild(given: {
  readonly buildsDir: string;
  readonly parts: BuildParts;
  readonly project: string;
  readonly createdAt: string;
  readonly origin?: CodeOrigin | undefined;
}): Promise<Build> {
  const { buildsDir, parts, project, createdAt, origin } = given;
  const { digest, pipelines, steps } = parts;
  const present = await loadBuild(buildsDir, digest).catch(() => undefined);
  if (present) return await updateOrigin(present, origin);
  const dir = path.join(buildsDir, digest);
  const draft = await mkdtemp(path.join(buildsDir, '.draft-'));
  try {
    const manifest: BuildManifest = {
      version: BUILD_VERSION,
      digest,
      project,
      pipelines,
      steps,
      tasks: parts.taskDefinitions,
      bundles: {
        workflows: digestOfBundle(parts.workflows),
        ...(parts.tasks === undefined ? {} : { tasks: digestOfBundle(parts.tasks) }),
      },
      createdAt,
      ...(origin && { origin }),
    };
    await writeFile(path.join(draft, BUILD_FILES.workflows), parts.workflows);
    if (parts.tasks !== undefined) await writeFile(path.join(draft, BUILD_FILES.activities), parts.tasks);
    for (const [step, files] of parts.files) {
      await copyStepCode(files.code, path.join(draft, BUILD_FILES.code, step));
      if (files.python !== undefined)
        await writeLock(files.python.text, path.join(draft, BUILD_FILES.python, `${step}.txt`));
    }
    await writeFile(path.join(draft, BUILD_FILES.manifest), toText(manifest));
    await publish(draft, dir);
    return await loadBuild(buildsDir, digest);
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

/**
 * Says of a build that is there from which commit the same sources come now: what was built before it was committed is known by its commit
 * from the next build on.
 */
export async function updateOrigin(build: Build, origin: CodeOrigin | undefined): Promise<Build> {
  const { manifest, dir, digest } = build;
  if (origin === undefined || digestOf(origin) === digestOf(manifest.origin ?? null)) return build;
  const file = path.join(dir, BUILD_FILES.manifest);
  const draft = `${file}.${process.pid}.tmp`;
  const updated: BuildManifest = { ...manifest, origin };
  await writeFile(draft, toText(updated));
  await rename(draft, file);
  return { digest, dir, manifest: updated };
}

/** A manifest as it is written. */
export function toText(manifest: BuildManifest): string {
  return `${JSON.stringify(manifest, null, 2)}\n`;
}

async function writeLock(text: string, target: string): Promise<void> {
  await mkdir(path.dirname(target), { recursive: true });
  await writeFile(target, text);
}

/** Makes a draft the build's directory. Another process may have done so in between: then that one is the same and stays. */
export async function publish(draft: string, dir: string): Promise<void> {
  try {
    await rename(draft, dir);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
  }
}
