import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ModelOperations } from '../../src/client/index.js';
import { cli } from './fake-cli.js';

const repairs = [{ alias: 'champion', version: '3', found: '2' }];

/** Model operations that note what they were asked. */
function recorded(given: Partial<ModelOperations> = {}) {
  const asked: unknown[] = [];
  const move = (name: string) => async (options: { readonly model: string; readonly alias?: string }) => {
    asked.push([name, options]);
    const { model, alias = 'champion' } = options;
    return await Promise.resolve({ model, alias, version: 7, replaced: 6, repairs: [] });
  };
  const models: ModelOperations = {
    promote: move('promote'),
    rollback: move('rollback'),
    demote: move('demote'),
    repair: async () => await Promise.resolve([]),
    ...given,
  };
  return { asked, client: { models } };
}

describe('commands on models', () => {
  test('promote sends version, alias and who asks', async () => {
    const { asked, client } = recorded();
    const argv = ['promote', 'churn-predictor', '7', '--alias', 'challenger', '--by', 'ana'];
    const { code, out } = await cli(argv, { client });
    assert.equal(code, 0);
    assert.deepEqual(asked, [
      ['promote', { model: 'churn-predictor', by: 'ana', alias: 'challenger', version: 7 }],
    ]);
    assert.equal(out, 'churn-predictor@challenger is version 7, before: version 6.\n');
  });

  test('promote refuses what is no version before it asks anybody', async () => {
    for (const version of ['v7', '0', '-1', '1.5', 'latest']) {
      const { code, err } = await cli(['promote', 'churn-predictor', '--', version]);
      assert.equal(code, 2, version);
      assert.match(err, /is not a version of model "churn-predictor"/);
    }
  });

  test('rollback and demote name the user of the machine, and print JSON where asked', async () => {
    const { asked, client } = recorded();
    const env = { USER: 'ben' };
    const { document } = await cli(['rollback', 'm', '--json'], { client, env });
    assert.deepEqual(document(), { model: 'm', alias: 'champion', version: 7, replaced: 6, repairs: [] });
    await cli(['demote', 'm'], { client, env });
    assert.deepEqual(
      asked.map((one) => (one as [string])[0]),
      ['rollback', 'demote'],
    );
  });

  test('repair says what was put back, and that nothing was', async () => {
    const none = await cli(['repair', 'm'], recorded());
    assert.equal(none.out, 'The aliases of m are where they were put.\n');
    const some = await cli(['repair', 'm'], recorded({ repair: async () => await Promise.resolve(repairs) }));
    assert.equal(
      some.out,
      'm@champion had been moved to version 2 by a late write; it is back at version 3.\n',
    );
  });
});
