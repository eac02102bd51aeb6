import { createHash } from 'node:crypto';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { digestOfBuild } from '../../src/workers/build/build-digest.js';
import {
  BUILD_FILES,
  BUILD_VERSION,
  type Build,
  type BuiltStep,
} from '../../src/workers/build/build-manifest.js';
import { digestOfCode, digestOfLock } from '../../src/workers/build/step-code.js';

const NOTHING: Omit<BuiltStep, 'name' | 'codeDigest'> = {
  code: [],
  env: {},
  inputs: {},
  outputs: {},
  resources: {},
  retry: { attempts: 1 },
  stopGrace: '30s',
  cache: false,
};

const MAP = '//# sourceMappingURL=data:application/json;base64,';

/** A build on disk, as small as one can be: one step with two files and a lock. */
export async function makeBuild(buildsDir: string, code: string, project = 'shop'): Promise<Build> {
  const files = [
    { name: 'lib/data.json', text: `{"code":"${code}"}`, executable: false },
    { name: 'run.sh', text: '#!/bin/sh\n', executable: true },
  ];
  const step: BuiltStep = {
    ...NOTHING,
    name: 'write',
    codeDigest: digestOfCode(files.map(({ text, ...file }) => ({ ...file, sha256: sha256(text) }))),
    pythonDigest: digestOfLock('lock\n', '3.12'),
    python: { requirements: 'requirements.txt', version: '3.12' },
  };
  const parts = { project, pipelines: [], steps: [step] };
  const digest = digestOfBuild({ ...parts, workflows: code, tasks: `tasks of ${code}`, taskDefinitions: [] });
  const manifest = {
    version: BUILD_VERSION,
    digest,
    ...parts,
    tasks: [],
    createdAt: '2026-11-23T00:00:00Z',
  } as const;
  const dir = path.join(buildsDir, digest);
  const put = async (name: string, text: string, mode = 0o644) => {
    const file = path.join(dir, name);
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, text);
    await chmod(file, mode);
  };
  await put(BUILD_FILES.workflows, `${code}${MAP}AAAA\n`);
  await put(BUILD_FILES.activities, `tasks of ${code}${MAP}BBBB\n`);
  await put('python/write.txt', 'lock\n');
  for (const { name, text, executable } of files)
    await put(`code/write/${name}`, text, executable ? 0o755 : 0o644);
  await put(BUILD_FILES.manifest, JSON.stringify(manifest));
  return { digest, dir, manifest };
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
