import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { runProgram } from '../../src/adapters/run-program.js';
import { pipelinesTaskQueue } from '../../src/core/run.js';
import { PROJECT, startHarness, succeeded, type Harness } from '../workflows/harness.js';

const cli = process.env['ANNEAL_TEST_TEMPORAL'];
const scripts = fileURLToPath(new URL('../../examples/client/', import.meta.url));

describe(
  'the scripts of examples/client',
  { skip: cli === undefined ? 'ANNEAL_TEST_TEMPORAL is not set' : false },
  () => {
    let harness: Harness;
    const runScript = async (name: string, args: readonly string[], address = addressOf(harness)) =>
      await runProgram({
        file: process.execPath,
        args: ['--import', 'tsx', `${scripts}${name}.ts`, ...args],
        env: {
          ...process.env,
          TEMPORAL_ADDRESS: address,
          TASK_QUEUE: pipelinesTaskQueue(PROJECT),
        },
        timeoutMs: 30_000,
      });
    const script = async (name: string, ...args: readonly string[]): Promise<string> => {
      const { code, stdout, stderr } = await runScript(name, args);
      assert.equal(code, 0, stderr);
      return stdout;
    };
    /** The one sentence that a script ends with. */
    const refusal = async (name: string, ...args: readonly string[]): Promise<string> => {
      const { code, stdout, stderr } = await runScript(name, args);
      assert.deepEqual([code, stdout, stderr.split('\n').length], [1, '', 2], stderr);
      return stderr;
    };
    /** The script's output once the run waits at its gate. */
    const whenWaiting = async (runId: string): Promise<string> => {
      const output = await script('query', runId);
      return output.includes('waits at go-live') ? output : await whenWaiting(runId);
    };

    before(async () => {
      harness = await startHarness(cli ?? '');
      harness.script = (request) => succeeded(request);
    });
    after(async () => {
      await harness.close();
    });

    for (const way of ['update', 'signal'] as const) {
      test(`start a run, ask it and approve it by ${way}`, { timeout: 60_000 }, async () => {
        const runId = `client-example-${way}`;
        assert.match(await script('start', runId, 'gated', '{"expires":"1h"}'), /^started client-example-/);
        assert.match(await whenWaiting(runId), /waiting-for-approval\n {2}make {2}succeeded/);
        await script('signal', runId, 'go-live', 'approve', way, 'ana');
        assert.equal(await harness.client.workflow.getHandle(runId).result(), 'ana');
        assert.match(await script('query', runId), /completed[^]*result "ana"/);
      });
    }

    test('say in one sentence what is wrong', { timeout: 60_000 }, async () => {
      const runId = 'client-example-wrong';
      await script('start', runId, 'gated', '{"expires":"1h"}');
      await whenWaiting(runId);
      assert.match(
        await refusal('start', runId, 'gated'),
        /^The run id "client-example-wrong" was used before/,
      );
      assert.match(await refusal('start', 'other', 'gated', '{'), /JSON/);
      assert.match(await refusal('query', 'nobody'), /^There is no run "nobody"/);
      assert.match(
        await refusal('signal', runId, 'go-dead'),
        /^Run "client-example-wrong" does not wait at "go-dead"; it waits at "go-live"\.$/m,
      );
      assert.match(await refusal('signal', runId, 'go-live', 'approve', 'update', 'eve'), /eve/);
      const { code, stderr } = await runScript('query', [runId], '127.0.0.1:1');
      assert.deepEqual(
        [code, stderr],
        [1, 'Temporal does not answer at 127.0.0.1:1; set TEMPORAL_ADDRESS.\n'],
      );
    });
  },
);

function addressOf({ client }: Harness): string {
  const { connection } = client;
  assert.ok('options' in connection);
  const { address } = connection.options as { readonly address: string };
  return address;
}
