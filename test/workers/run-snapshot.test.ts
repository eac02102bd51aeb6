import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadConfig } from '../../src/config/load-config.js';
import type { RunSnapshot } from '../../src/core/activities.js';
import { BUILD_VERSION } from '../../src/workers/build/build-manifest.js';
import type { Build, BuildManifest, BuiltStep } from '../../src/workers/build/build-manifest.js';
import { createSnapshot } from '../../src/workers/run-snapshot.js';
import { withProject } from '../build/fixture-project.js';

const DIGEST = `sha256:${'a'.repeat(64)}`;
const PROCESSES = 'project: small\npools:\n  cpu: {}\n';
const CLUSTER = `${PROCESSES}  gpu: { executor: kubernetes, gpu: 1, image: "train:1" }
kubernetes: { namespace: small, image: "anneal:1" }
store: s3://bucket/small
`;

const step = (name: string, image?: string) =>
  ({ name, codeDigest: 'c', ...(image === undefined ? {} : { image }) }) as BuiltStep;
const steps = [step('a', 'a:1'), step('b', 'a:1'), step('c', `c@${DIGEST}`), step('d')];

/** The snapshot of a run, and what registries were asked. */
async function snapshotOf(yaml: string) {
  const asked: string[] = [];
  const taken: RunSnapshot[] = [];
  await withProject({ 'anneal.yaml': yaml }, async (cwd) => {
    const config = await loadConfig({ cwd, env: {} });
    const images = {
      resolve: async (image: string) => {
        asked.push(image);
        return await Promise.resolve(image === 'a:1' ? { digest: DIGEST } : { problem: 'it is away' });
      },
    };
    const manifest: BuildManifest = {
      ...{ version: BUILD_VERSION, digest: 'b', project: 'p', pipelines: [], tasks: [], steps },
      createdAt: '2026-01-01T00:00:00Z',
    };
    const build: Build = { digest: 'b', dir: cwd, manifest };
    taken.push(await createSnapshot({ config, services: {}, host: 'box', images }, build)());
  });
  return { taken: taken[0] ?? assert.fail(), asked };
}

test('a run of a project with pools on Kubernetes begins with the digests of all images that are named by a tag', async () => {
  const { taken, asked } = await snapshotOf(CLUSTER);
  assert.deepEqual(asked.sort(), ['a:1', 'train:1']);
  assert.deepEqual(taken.images, { 'a:1': { digest: DIGEST }, 'train:1': { problem: 'it is away' } });
  assert.deepEqual(taken.poolImages, { gpu: 'train:1' });
});

test('a run of a project that runs processes asks no registry', async () => {
  const { taken, asked } = await snapshotOf(PROCESSES);
  assert.deepEqual(asked, []);
  assert.ok(!('images' in taken) && !('poolImages' in taken));
});
