import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { configKeys } from '../../src/config/config-schema.js';

test('docs/configuration.md describes the keys of the schema, and no others', async () => {
  const text = await readFile(new URL('../../docs/configuration.md', import.meta.url), 'utf8');
  const described = [...text.matchAll(/^### `(.+)`$/gm)].map((match) => match[1]);
  assert.deepEqual(described.toSorted(), configKeys().toSorted());
});

test('every key says its default', async () => {
  const text = await readFile(new URL('../../docs/configuration.md', import.meta.url), 'utf8');
  for (const section of text.split(/^### /m).slice(1)) {
    const [body = ''] = section.split(/^## /m);
    assert.match(body, /[Dd]efault/, body.split('\n')[0]);
  }
});
