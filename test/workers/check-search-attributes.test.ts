import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { checkSearchAttributes } from '../../src/workers/check-search-attributes.js';

describe('the check of search attributes', () => {
  test('accepts a server that has both', async () => {
    await check({ AnnealStatus: 2, AnnealTags: 7 });
  });

  test('names what is missing or of another type, and the commands that make it', async () => {
    await assert.rejects(check({ AnnealStatus: 1 }), {
      code: 'InvalidConfig',
      message:
        'Temporal\'s namespace "ml" lacks what runs are found by: AnnealStatus (Keyword) and AnnealTags (KeywordList). Make it with: temporal operator search-attribute create --namespace ml --name AnnealStatus --type Keyword && temporal operator search-attribute create --namespace ml --name AnnealTags --type KeywordList',
    });
  });

  test('waits for a server that registers them while it starts', async () => {
    let asked = 0;
    await checkSearchAttributes(
      {
        listSearchAttributes: () =>
          Promise.resolve({ customAttributes: asked++ === 0 ? {} : { AnnealStatus: 2, AnnealTags: 7 } }),
      },
      { namespace: 'ml', log: assert.fail },
    );
    assert.equal(asked, 2);
  });

  test('only logs a server that does not let it ask', async () => {
    const logged: string[] = [];
    await checkSearchAttributes(
      { listSearchAttributes: () => Promise.reject(new Error('PERMISSION_DENIED')) },
      { namespace: 'ml', log: (message) => void logged.push(message) },
    );
    assert.match(logged.join(), /PERMISSION_DENIED/);
  });
});

async function check(customAttributes: { readonly [name: string]: number }): Promise<void> {
  await checkSearchAttributes(
    { listSearchAttributes: () => Promise.resolve({ customAttributes }) },
    { namespace: 'ml', log: assert.fail, patienceMs: 0 },
  );
}
