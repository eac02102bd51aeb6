import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Client } from '@temporalio/client';
import { createLineageWriter, recordReuse } from '../../src/activities/lineage.js';
import { renderLineage } from '../../src/cli/lineage-text.js';
import { createAnnealClient, type Lineage, type LineageOptions } from '../../src/client/index.js';
import type { ArtifactKind, ArtifactRef } from '../../src/core/artifacts.js';
import { digestOfText } from '../../src/core/digest.js';
import { AnnealError } from '../../src/core/failures.js';
import type { IndexedVersion, ModelIndex } from '../../src/core/lineage.js';
import pc from 'picocolors';
import { createMemoryStore } from '../activities/memory-store.js';
import { buildRequest } from '../tracking/fixtures.js';
import { report } from '../cli/fake-cli.js';

const SOURCE = 's3://data/customers.csv';
const COMMIT = 'c'.repeat(40);
const readCode = () => Promise.resolve({ origin: { commit: COMMIT, dirty: true } });

/** The digest of an artifact of that name. */
const digest = (name: string) => digestOfText(name);

interface Made {
  readonly step: string;
  readonly runId?: string;
  readonly inputs: readonly ArtifactRef[];
  readonly output: readonly [string, ArtifactKind];
}

/** A store with what runs left, written as workers write it, and models that were registered. */
function createWorld(versions: readonly IndexedVersion[] = []) {
  const store = createMemoryStore();
  const writer = createLineageWriter({ store, readCode });
  const external: ArtifactRef = Object.assign(ref('customers', 'Dataset', SOURCE), {
    pin: { pinnedAtMs: 1, source: SOURCE },
  });
  const make = async ({ step, runId = 'r1', inputs, output: [name, kind] }: Made): Promise<ArtifactRef> => {
    const attemptName = `${step}-x-a1`;
    const output = ref(name, kind, store.uriOf(`runs/exec-${runId}/attempts/${attemptName}/outputs/out`));
    await writer.recordStep({
      request: buildRequest({
        ...{ step, executionId: `exec-${runId}`, codeDigest: digest(step), callId: step },
        inputs: Object.fromEntries(inputs.map((input, i) => [`in${i}`, input])),
      }),
      runId,
      outcome: {
        ...{ kind: 'succeeded', attemptName, parameters: {}, startedAtMs: 1, endedAtMs: 2 },
        outputs: { out: output },
      },
    });
    await writer.settle();
    return output;
  };
  const models: ModelIndex = {
    find: (of) =>
      Promise.resolve(
        versions.find(
          (found) =>
            found.modelName === of.modelName &&
            ('alias' in of ? found.aliases.includes(of.alias) : found.version === of.version),
        ) ?? null,
      ),
    findByDigest: (of) => Promise.resolve(versions.filter((found) => found.digest === of.digest)),
  };
  const temporal = Object.create(null) as Client;
  const trace = async (
    subject: string,
    { options, index = models }: { readonly options?: LineageOptions; readonly index?: ModelIndex } = {},
  ) => await createAnnealClient({ temporal, project: 'p', store, models: index }).lineage(subject, options);
  return { store, external, make, trace };
}

function ref(name: string, kind: ArtifactKind, uri: string): ArtifactRef {
  return { kind, uri, digest: digest(name), sizeBytes: 7, form: 'file', values: {} };
}

const CHAMPION: IndexedVersion = {
  modelName: 'churn',
  version: '7',
  aliases: ['champion'],
  digest: digest('model'),
  tags: {
    'anneal.run_id': 'r2',
    'anneal.made_by.execution_id': 'exec-r1',
    'anneal.made_by.attempt_name': 'train-x-a1',
  },
};

/** customers -> ingest -> raw -> features -> features' -> train -> model -> version 7; the test set goes beside. */
async function createChurn(versions: readonly IndexedVersion[] = [CHAMPION]) {
  const world = createWorld(versions);
  const raw = await world.make({ step: 'ingest', inputs: [world.external], output: ['raw', 'Dataset'] });
  const features = await world.make({ step: 'features', inputs: [raw], output: ['features', 'Dataset'] });
  const model = await world.make({ step: 'train', inputs: [features, raw], output: ['model', 'Model'] });
  return { ...world, raw, features, model };
}

const text = (found: Lineage) => renderLineage(found, pc.createColors(false)).split('\n');
const steps = (found: Lineage) =>
  found.nodes.flatMap((node) => (node.kind === 'step' ? [`${node.runId} ${node.step}`] : [])).sort();
const short = (name: string) => digest(name).slice(0, 12);

describe('lineage', () => {
  test('leads from an alias to the data that others keep, through every step with its code and commit', async () => {
    const { trace } = await createChurn();
    const found = await trace('model:churn@champion');
    assert.deepEqual(found.notices, []);
    assert.deepEqual(text(found), [
      'Made of',
      '  model churn version 7 (champion), registered by run r2',
      `    Model ${short('model')}, 7 bytes`,
      `      step train of run r1, code ${short('train')}, commit ${COMMIT.slice(0, 12)} with changes`,
      `        in0: Dataset ${short('features')}, 7 bytes`,
      `          step features of run r1, code ${short('features')}, commit ${COMMIT.slice(0, 12)} with changes`,
      `            in0: Dataset ${short('raw')}, 7 bytes`,
      `              step ingest of run r1, code ${short('ingest')}, commit ${COMMIT.slice(0, 12)} with changes`,
      `                in0: Dataset ${short('customers')}, 7 bytes, from ${SOURCE}`,
      `        in1: Dataset ${short('raw')}, 7 bytes (above)`,
    ]);
    assert.deepEqual(await trace('model:churn/7'), found);
  });

  test('leads from data, by its address or digest, to runs, models and aliases', async () => {
    const { trace } = await createChurn();
    const found = await trace(`dataset:${SOURCE}`);
    assert.deepEqual(steps(found), ['r1 features', 'r1 ingest', 'r1 train']);
    assert.match(text(found).join('\n'), /model churn version 7 \(champion\)/);
    const byDigest = await trace(`dataset:${digest('customers').slice(0, 16)}`);
    assert.deepEqual(byDigest.nodes, found.nodes);
  });

  test('of a run whose step was cached leads to the run that made the bytes, and from there to the runs that reused them', async () => {
    const { store, make, raw, trace } = await createChurn();
    const cachedFrom = { runId: 'r1', executionId: 'exec-r1' };
    const call = {
      id: 'c',
      kind: 'step',
      name: 'ingest',
      state: 'cached',
      attempt: 1,
      startedAtMs: 1,
    } as const;
    await recordReuse(
      store,
      report({
        ...{ runId: 'r3', executionId: 'exec-r3' },
        calls: [{ ...call, attemptName: 'ingest-x-a1', cachedFrom }],
      }),
    );
    await make({ step: 'report', runId: 'r3', inputs: [raw], output: ['page', 'Report'] });
    const back = await trace('run:r3', { options: { direction: 'back' } });
    assert.deepEqual(steps(back), ['r1 ingest', 'r3 report']);
    const reused = back.edges.filter(({ as }) => as === 'reused');
    assert.deepEqual(reused, [{ from: 'step:exec-r1/ingest-x-a1', to: 'run:r3', as: 'reused' }]);
    const forward = await trace(`dataset:${SOURCE}`);
    assert.ok(forward.nodes.some((node) => node.kind === 'run' && node.runId === 'r3'));
    assert.ok(steps(forward).includes('r3 report'));
  });

  test('says of which attempt the record is missing, and shows the rest', async () => {
    const { store, trace } = await createChurn();
    store.objects.delete('lineage/steps/exec-r1/features-x-a1.json');
    const found = await trace('model:churn@champion');
    assert.match(found.notices.join(), /attempt features-x-a1 .*exec-r1.* is missing/);
    assert.match(text(found).join('\n'), /attempt features-x-a1, of which no record is left/);
    assert.ok(steps(found).includes('r1 ingest'));
  });

  test('of a version without the tags of its maker finds it by the digest', async () => {
    const { trace } = await createChurn([{ ...CHAMPION, tags: {} }]);
    assert.deepEqual(steps(await trace('model:churn/7')), ['r1 features', 'r1 ingest', 'r1 train']);
  });

  test('of a version that somebody registered by hand says that nothing is known', async () => {
    const { digest: _, ...byHand } = CHAMPION;
    const { trace } = await createChurn([byHand]);
    assert.match((await trace('model:churn/7')).notices.join(), /was not registered by a pipeline/);
  });

  test('is told without models where MLflow is away, and of a model not at all', async () => {
    const { trace } = await createChurn();
    const refuse = () => Promise.reject(new AnnealError('TrackingUnavailable', 'MLflow does not answer.'));
    const index = { find: refuse, findByDigest: refuse };
    const found = await trace(`dataset:${SOURCE}`, { index });
    assert.deepEqual(steps(found).length, 3);
    assert.match(found.notices.join(), /not shown: MLflow does not answer/);
    await assert.rejects(trace('model:churn/7', { index }), { code: 'TrackingUnavailable' });
  });

  test('looks at no more than its limit, and every page after the other shows every use once', async () => {
    const { make, raw, trace } = await createChurn();
    for (let i = 100; i < 130; i += 1)
      await make({ step: 'use', runId: `u${i}`, inputs: [raw], output: [`o${i}`, 'Report'] });
    const subject = `artifact:${digest('raw')}`;
    const seen: string[] = [];
    let after: string | undefined;
    do {
      const options = { direction: 'forward', limit: 10, ...(after && { after }) } as const;
      const found = await trace(subject, { options });
      assert.ok(found.nodes.length <= 20, `${found.nodes.length} nodes`);
      const uses = found.edges.filter(({ from, as }) => from === subject && as === 'used');
      seen.push(...uses.map(({ to }) => to));
      after = found.more.find(({ id }) => id === subject)?.next;
    } while (after !== undefined);
    assert.equal(new Set(seen).size, 32);
    assert.equal(seen.length, 32);
    assert.match(
      text(await trace(subject, { options: { direction: 'forward', limit: 10 } })).join('\n'),
      /Go on with: anneal lineage artifact:/,
    );
  });

  test('of a chain of 3,000 steps is found and drawn', async () => {
    const { make, external, trace } = createWorld();
    let last = external;
    for (let i = 0; i < 3_000; i += 1)
      last = await make({ step: `s${i}`, inputs: [last], output: [`o${i}`, 'Dataset'] });
    const found = await trace(`artifact:${last.digest}`, { options: { direction: 'back', limit: 5_000 } });
    assert.equal(found.nodes.length, 5_000);
    assert.equal(found.more.length > 0, true);
    assert.ok(text(found).length > 4_000);
  });

  for (const [subject, message] of [
    ['churn', /model:NAME@ALIAS/],
    ['model:churn', /model:NAME@ALIAS/],
    ['artifact:xyz', /8 hex digits/],
    ['model:churn@challenger', /no model "churn" with alias "challenger"/],
    ['artifact:00000000', /No step is known/],
    ['dataset:s3://data/nothing.csv', /No step is known that used data/],
  ] as const)
    test(`of ${subject} is refused with what can be asked`, async () => {
      const { trace } = await createChurn();
      await assert.rejects(trace(subject), { code: 'InvalidInput', message });
    });
});
