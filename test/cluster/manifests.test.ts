import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, before, describe, test } from 'node:test';
import { parseAllDocuments } from 'yaml';

import { clusterMissing, openCluster } from './support/cluster.js';

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
}

const folder = fileURLToPath(new URL('../../k8s/overlays', import.meta.url));
const overlays = readdirSync(folder);

describe('the manifests in k8s/', { skip: clusterMissing }, () => {
  const made = new Map<string, { readonly text: string; readonly objects: readonly Manifest[] }>();
  let added: readonly Manifest[] = [];

  before(async () => {
    const cluster = openCluster();
    for (const overlay of overlays) {
      const text = await cluster.kubectl(['kustomize', path.join(folder, overlay)]);
      const objects = parseAllDocuments(text).map((document) => document.toJS() as Manifest);
      made.set(overlay, { text, objects });
    }
    // A dry run makes no namespace that the others could be in.
    const there = await cluster.kubectl(['get', 'namespaces', '-o', 'name']);
    const wanted = [...made.values()].flatMap(({ objects }) =>
      objects.filter(({ kind }) => kind === 'Namespace'),
    );
    added = wanted.filter(({ metadata }) => !there.includes(`namespace/${metadata.name}\n`));
    for (const namespace of added) await cluster.apply(namespace);
  });

  after(async () => {
    for (const name of new Set(added.map(({ metadata }) => metadata.name)))
      await openCluster().kubectl(['delete', 'namespace', name, '--wait=false']);
  });

  for (const overlay of overlays) {
    test(`of the overlay ${overlay} are what the API server takes`, async () => {
      const { text, objects } = made.get(overlay) ?? assert.fail('kustomize made it');
      assert.ok(objects.some(({ kind }) => kind === 'Deployment'));
      const args = ['apply', '--server-side', '--dry-run=server', '--validate=strict', '--force-conflicts'];
      const answer = await openCluster().kubectl([...args, '-f', '-'], text);
      for (const { metadata } of objects)
        assert.ok(answer.includes(`/${metadata.name} serverside-applied`), answer);
    });
  }
});
