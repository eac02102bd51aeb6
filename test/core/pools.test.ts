import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { choosePool, gpuCount, type Pool } from '../../src/core/pools.js';
import type { Resources } from '../../src/core/step.js';

const pool = (name: string, rest: Partial<Pool> = {}): Pool => ({
  name,
  executor: 'process',
  taskQueue: `p/${name}@h`,
  controlQueue: 'churn/control@box',
  gpu: 0,
  gpuOptional: false,
  ...rest,
});

const pools = [
  pool('gpu', { gpu: 4, gpuType: 'a100', cpu: 32, memory: '256Gi' }),
  pool('cpu', { cpu: 4, memory: '8Gi' }),
  pool('cpu-large', { cpu: 32, memory: '128Gi' }),
];

const chosen = (resources: Resources, name?: string, from: readonly Pool[] = pools) =>
  choosePool('train', { resources, ...(name === undefined ? {} : { pool: name }) }, from);

describe('the pool of a step', () => {
  for (const [resources, name] of [
    [{}, 'cpu'],
    [{ cpu: 4, memory: '8Gi' }, 'cpu'],
    [{ cpu: 4.5 }, 'cpu-large'],
    [{ memory: '8193Mi' }, 'cpu-large'],
    [{ memory: '200Gi' }, 'gpu'],
    [{ gpu: 1 }, 'gpu'],
    [{ gpu: 0 }, 'cpu'],
    [{ gpu: { type: 'a100', count: 4 } }, 'gpu'],
  ] as const)
    test(`that asks ${JSON.stringify(resources)} is "${name}"`, () => {
      const choice = chosen(resources);
      assert.equal(choice.ok && choice.pool.name, name);
    });

  test('is the one that it names, where that fits', () => {
    const choice = chosen({}, 'gpu');
    assert.equal(choice.ok && choice.pool.name, 'gpu');
  });

  test('is one that a worker of the machine serves, where one fits', () => {
    const choice = chosen({}, undefined, [pool('first', { unservedOn: 'box' }), pool('second')]);
    assert.equal(choice.ok && choice.pool.name, 'second');
  });

  test('may have fewer GPUs where they are optional, as on a laptop', () => {
    const choice = chosen({ gpu: { type: 'h100', count: 8 } }, undefined, [
      pool('cpu', { gpuOptional: true }),
    ]);
    assert.equal(choice.ok && choice.pool.name, 'cpu');
  });

  for (const [what, resources, name, from, message] of [
    [
      'of a project without pools',
      {},
      undefined,
      [],
      'Step "train" cannot run: the project has no pool. Add one under pools: in anneal.yaml.',
    ],
    [
      'that does not exist',
      {},
      'cpu-larg',
      pools,
      'Step "train" names pool "cpu-larg"; the project has "gpu", "cpu", "cpu-large". Did you mean "cpu-large"? Correct the step\'s pool, or add one to anneal.yaml.',
    ],
    [
      'that is named and too small',
      { cpu: 8, memory: '16Gi' },
      'cpu',
      pools,
      'Step "train" fits no pool; the nearest is "cpu" (8 cores asked, 4 offered; 16Gi of memory asked, 8Gi offered). Ask for less, or raise the pool in anneal.yaml.',
    ],
    [
      'that nobody offers',
      { gpu: 8 },
      undefined,
      pools,
      'Step "train" fits no pool; the nearest is "gpu" (8 GPUs asked, 4 offered). Ask for less, or raise the pool in anneal.yaml.',
    ],
    [
      'with GPUs of another type',
      { gpu: { type: 'h100', count: 1 } },
      undefined,
      pools,
      'Step "train" fits no pool; the nearest is "gpu" (GPU type h100 asked, a100 offered). Ask for less, or raise the pool in anneal.yaml.',
    ],
    [
      'that no worker of the machine serves',
      { cpu: 40 },
      undefined,
      [pool('cpu', { cpu: 4 }), pool('large', { cpu: 64, unservedOn: 'box' })],
      'Step "train" fits no pool; the nearest is "large" (no worker of box serves it). Start one there with "anneal worker --pools large", then start the run again.',
    ],
    [
      'that nobody serves and that is too small',
      { cpu: 8 },
      'cpu',
      [pool('cpu', { cpu: 4, unservedOn: 'box' })],
      'Step "train" fits no pool; the nearest is "cpu" (no worker of box serves it; 8 cores asked, 4 offered). Ask for less, or raise the pool in anneal.yaml.',
    ],
  ] as const)
    test(`${what} is refused in one sentence`, () =>
      assert.deepEqual(chosen(resources, name, from), { ok: false, message }));

  test('always offers what was asked', () => {
    const amount = fc.option(fc.integer({ min: 1, max: 64 }), { nil: undefined });
    const asked = fc.record({ cpu: amount, gib: amount, gpu: fc.option(fc.nat(4), { nil: undefined }) });
    const offered = fc.array(
      fc.record({ cpu: amount, gib: amount, gpu: fc.nat(4), gpuOptional: fc.boolean() }),
      { maxLength: 5 },
    );
    fc.assert(
      fc.property(asked, offered, ({ cpu, gib, gpu }, pools) => {
        const resources: Resources = {
          ...(cpu === undefined ? {} : { cpu }),
          ...(gib === undefined ? {} : { memory: `${gib}Gi` }),
          ...(gpu === undefined ? {} : { gpu }),
        };
        const from = pools.map((of, i) =>
          pool(`p${i}`, {
            ...(of.cpu === undefined ? {} : { cpu: of.cpu }),
            ...(of.gib === undefined ? {} : { memory: `${of.gib}Gi` }),
            gpu: of.gpu,
            gpuOptional: of.gpuOptional,
          }),
        );
        const fits = (of: (typeof pools)[number]) =>
          (cpu ?? 0) <= (of.cpu ?? Infinity) &&
          (gib ?? 0) <= (of.gib ?? Infinity) &&
          (of.gpuOptional || (gpu ?? 0) <= of.gpu);
        const choice = choosePool('s', { resources }, from);
        assert.equal(choice.ok, pools.some(fits));
        if (choice.ok) assert.ok(pools.some((of, i) => `p${i}` === choice.pool.name && fits(of)));
      }),
    );
  });

  test('without GPUs is taken by a step that asks for none, and one with GPUs only where it must be', () => {
    const gpus = pool('gpu', { gpu: 2 });
    for (const from of [
      [gpus, pool('cpu')],
      [pool('cpu'), gpus],
    ]) {
      assert.equal((chosen({}, undefined, from) as { pool: Pool }).pool.name, 'cpu');
      assert.equal((chosen({ gpu: 1 }, undefined, from) as { pool: Pool }).pool.name, 'gpu');
    }
    const laptop = [pool('cpu', { gpuOptional: true }), pool('gpu', { gpu: 1, gpuOptional: true })];
    assert.equal((chosen({ gpu: 1 }, undefined, laptop) as { pool: Pool }).pool.name, 'gpu');
  });

  test('of what is not limited offers any amount, and what is not asked fits any', () => {
    assert.ok(chosen({ cpu: 1_000, memory: '9Ti' }, undefined, [pool('any')]).ok);
    assert.ok(chosen({}, undefined, [pool('small', { cpu: 0.1, memory: '1Mi' })]).ok);
    assert.ok(chosen({ cpu: 4 }, undefined, [pool('memory', { memory: '1Mi' })]).ok);
    assert.ok(chosen({ memory: '1Gi' }, undefined, [pool('cores', { cpu: 1 })]).ok);
  });

  test('without GPUs says so to a step that asks for a type', () => {
    const choice = chosen({ gpu: { type: 'h100', count: 1 } }, undefined, [pool('cpu')]);
    assert.match(
      choice.ok ? '' : choice.message,
      /1 GPUs asked, 0 offered; GPU type h100 asked, none offered/,
    );
  });

  test('is the first of equals, wherever the others stand, and the same however often it is asked', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(3), { minLength: 1, maxLength: 5 }), fc.nat(3), (offered, asked) => {
        const from = offered.map((cpu, i) => pool(`p${i}`, { cpu }));
        const choice = chosen({ cpu: asked }, undefined, from);
        assert.deepEqual(choice, chosen({ cpu: asked }, undefined, from));
        const first = from.find(({ cpu = 0 }) => cpu >= asked);
        assert.equal(choice.ok ? choice.pool.name : undefined, first?.name);
      }),
    );
  });

  test('counts GPUs in both forms', () => {
    assert.deepEqual([{}, { gpu: 2 }, { gpu: { type: 'a100', count: 3 } }].map(gpuCount), [0, 2, 3]);
  });
});
