import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import type { ArtifactRef } from '../../src/core/artifacts.js';
import type { AttemptRequest } from '../../src/core/attempt.js';
import { createAttemptWorld } from './attempt-world.js';
import { buildLaunch, dataset, failedWith, input, output, recordWatch, sh, succeeded } from './contract.js';

describe('an input that is mounted, on a machine', () => {
  const world = createAttemptWorld();
  const run = async (request: Partial<AttemptRequest>) =>
    await world.createExecutor().run(buildLaunch(request), recordWatch().watch);
  const made = async () => {
    const outcome = await run({
      command: sh(
        'mkdir ',
        output('many'),
        '; printf a > ',
        output('many'),
        '/a; printf one > ',
        output('one'),
      ),
      outputs: { many: dataset, one: dataset },
    });
    const { many, one } = succeeded(outcome).outputs;
    assert.ok(many && one);
    return { many, one };
  };
  const mounted = async (
    inputs: { readonly [name: string]: ArtifactRef },
    ...script: Parameters<typeof sh>
  ) =>
    await run({
      inputs,
      access: Object.fromEntries(Object.keys(inputs).map((name) => [name, 'mount'])),
      command: sh(...script),
      outputs: { out: dataset },
    });

  test('is read where the store has it', async () => {
    const { many, one } = await made();
    const outcome = await mounted(
      { many, one },
      'printf %s ',
      input('one'),
      ' > ',
      output('out'),
      '; cat ',
      input('many'),
      '/a ',
      input('one'),
      ' >> ',
      output('out'),
    );
    assert.equal(await world.readOutput(outcome, 'out'), `${fileURLToPath(one.uri)}aone`);
  });

  test('is refused where it is not as it was recorded', async () => {
    const { one } = await made();
    const failed = failedWith(
      await mounted({ one: { ...one, sizeBytes: 4 } }, 'touch ', output('out')),
      'InputMissing',
    );
    assert.match(failed.message, /input "one" .* where it is mounted: it has 3 bytes, not 4/);
    const gone = { ...one, uri: `${one.uri}-gone` };
    assert.match(
      failedWith(await mounted({ one: gone }, 'touch ', output('out')), 'InputMissing').message,
      /it is not there\. Look at what the volume holds/,
    );
  });

  test('is refused where it is on no file system', async () => {
    const { one } = await made();
    const far = { ...one, uri: 's3://bucket/one' };
    assert.match(
      failedWith(await mounted({ one: far }, 'touch ', output('out')), 'InvalidConfig').message,
      /input "one" \(s3:\/\/bucket\/one\) is to be mounted, and is not in a file system of this machine/,
    );
  });
});
