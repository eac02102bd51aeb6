import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { FAILURES, failureRow, isFailureCode } from '../../src/core/failures.js';

const page = await readFile(new URL('../../docs/errors.md', import.meta.url), 'utf8');
const sections = new Map(
  page
    .split(/^## /m)
    .slice(1)
    .map((section) => [section.slice(0, section.indexOf('\n')), section]),
);

test('docs/errors.md has every code of the table, with its summary and what to do', () => {
  for (const code of Object.keys(FAILURES).filter(isFailureCode)) {
    const section = sections.get(code) ?? '';
    assert.ok(
      section.includes(failureRow(code).summary),
      `docs/errors.md lacks "## ${code}" with its summary from src/core/failures.ts`,
    );
    assert.ok(
      section.trim().split(/\n\n/).length >= 4,
      `docs/errors.md does not say what to do about ${code}`,
    );
  }
});

test('docs/errors.md has no code that the table lacks', () => {
  assert.deepEqual(
    [...sections.keys()].filter((code) => !isFailureCode(code)),
    [],
  );
});
