import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import {
  ANNOTATIONS,
  CONTAINERS,
  FOREIGN_LABELS,
  LABELS,
  STORE_SECRET_KEYS,
} from '../../src/adapters/kubernetes/labels.js';

const page = await readFile(new URL('../../docs/kubernetes.md', import.meta.url), 'utf8');

const rowsOf = (heading: string) =>
  [...(page.split(`### ${heading}\n`)[1]?.split('\n#')[0] ?? '').matchAll(/^\| `([^`]+)` \|/gm)].map(
    (row) => row[1],
  );

test('docs/kubernetes.md lists every label and annotation of Jobs, and no other', () => {
  const { jobName: _ofTheJobController, kueueJobUid: _ofKueue, ...foreign } = FOREIGN_LABELS;
  assert.deepEqual(
    rowsOf('Labels').toSorted(),
    [...Object.values(LABELS), ...Object.values(foreign)].toSorted(),
  );
  assert.deepEqual(rowsOf('Annotations').toSorted(), Object.values(ANNOTATIONS).toSorted());
});

test('docs/kubernetes.md names the containers, and the keys of the store’s Secret', () => {
  for (const name of [...Object.values(CONTAINERS), ...Object.values(STORE_SECRET_KEYS)])
    assert.ok(page.includes(`\`${name}\``), name);
});
