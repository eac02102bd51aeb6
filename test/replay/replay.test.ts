import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { before, describe, test } from 'node:test';
import { historyFromJSON } from '@temporalio/common/lib/proto-utils.js';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { bundlePipelines, bundleSystem } from './bundles.js';

const histories = new URL('../histories/', import.meta.url);
/** Of Anneal's own bundle; everything else is a pipeline. */
const SYSTEM = /^(model-lane|delivery|sweeper|backfill(-\d+)?)\.json$/;

describe('recorded histories', () => {
  let files: readonly string[];
  before(async () => {
    Runtime.install({
      logger: new DefaultLogger('ERROR'),
      telemetryOptions: { logging: { filter: 'OFF', forward: {} } },
    });
    files = (await readdir(histories)).filter((file) => file.endsWith('.json'));
  });

  test('cover every example, every way to end, and runs that continued as new', () => {
    const names = files.map((file) => file.replace('.json', ''));
    for (const needed of [
      'churn-training-passes',
      'churn-training-does-not-pass',
      'churn-training-refuses-data',
      'churn-training-is-approved',
      'churn-training-is-cancelled',
      'churn-training-continues-as-new-2',
      'churn-sweep',
    ])
      assert.ok(names.includes(needed), `${needed} is not recorded`);
  });

  test('replay with the pipelines of this version', async () => {
    const pipelines = files.filter((file) => !SYSTEM.test(file));
    assert.deepEqual(await replay(await bundlePipelines('./test/replay/pipelines.ts'), pipelines), []);
  });

  test('replay with the workflows of Anneal itself of this version', async () => {
    assert.deepEqual(
      await replay(
        await bundleSystem(),
        files.filter((file) => SYSTEM.test(file)),
      ),
      [],
    );
  });

  test('a pipeline that was changed under an open run is noticed', async () => {
    const [failure] = await replay(await bundlePipelines('./test/replay/changed-pipelines.ts'), [
      'churn-training-passes.json',
    ]);
    assert.match(failure ?? '', /^churn-training-passes\.json: .*(TMPRL1100|[Nn]ondeterminism)/s);
  });
});

/** Replays histories without a server, each under its own workflow id; answers with those that failed. */
async function replay(
  workflowBundle: { readonly code: string },
  names: readonly string[],
): Promise<readonly string[]> {
  const failures: string[] = [];
  for (const name of names) {
    const history = historyFromJSON(JSON.parse(await readFile(new URL(name, histories), 'utf8')));
    const workflowId = history.events?.[0]?.workflowExecutionStartedEventAttributes?.workflowId ?? '';
    await Worker.runReplayHistory({ workflowBundle }, history, workflowId).catch((error: unknown) =>
      failures.push(`${name}: ${error instanceof Error ? error.message : String(error)}`),
    );
  }
  return failures;
}
