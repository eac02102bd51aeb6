import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Payload } from '@temporalio/common';
import { createPayloadCodec, PAYLOAD_LIMIT_BYTES } from '../../src/adapters/payload-codec.js';
import { AnnealError, type FailureCode } from '../../src/core/failures.js';
import { createMemoryStore } from '../activities/memory-store.js';

describe('a reference to a large payload', () => {
  const large = { metadata: {}, data: Buffer.alloc(PAYLOAD_LIMIT_BYTES + 1, 7) };

  async function encodeLarge() {
    const store = createMemoryStore();
    const codec = createPayloadCodec(store, { nowMs: () => Date.UTC(2026, 10, 23) });
    const [reference] = await codec.encode([large]);
    assert.ok(reference);
    return { store, codec, reference, key: keyOf(reference) };
  }

  test('names a payload of a day by its digest', async () => {
    const { codec, reference, key } = await encodeLarge();
    assert.match(key, /^payloads\/2026-11-23\/[0-9a-f]{64}$/);
    assert.deepEqual(await codec.decode([reference]), [large]);
  });

  test('whose object is gone says so, with its URI', async () => {
    const { store, codec, reference, key } = await encodeLarge();
    await store.remove([key]);
    await fails(codec.decode([reference]), 'InputMissing', new RegExp(`no longer in the store .*${key}`));
  });

  test('whose object is torn or another one is refused before it is unpacked', async () => {
    const { store, codec, reference, key } = await encodeLarge();
    const whole = (await store.readBytes(key)) ?? new Uint8Array();
    await store.putBytes(key, whole.subarray(0, whole.length / 2));
    await fails(codec.decode([reference]), 'InputMissing', /is damaged/);
    const [other] = await codec.encode([{ metadata: {}, data: Buffer.alloc(PAYLOAD_LIMIT_BYTES + 2) }]);
    await store.putBytes(key, (await store.readBytes(keyOf(other))) ?? new Uint8Array());
    await fails(codec.decode([reference]), 'InputMissing', /is damaged/);
  });

  test('reaches nothing of the store but payloads', async () => {
    const { store, codec, reference, key } = await encodeLarge();
    const bytes = (await store.readBytes(key)) ?? new Uint8Array();
    const sha256 = key.slice(-64);
    const foreign = [
      'runs/x/attempts/a/manifest.json',
      `payloads/${sha256}`,
      `payloads/2026-11-23/../../runs/${sha256}`,
      `runs/payloads/2026-11-23/${sha256}`,
      `${key}/more`,
    ];
    for (const at of foreign) await store.putBytes(at, bytes);
    for (const data of [...foreign.map((at) => JSON.stringify({ key: at })), '{"key":7}', 'null', '', '{'])
      await fails(
        codec.decode([{ metadata: reference.metadata ?? {}, data: Buffer.from(data) }]),
        'InvalidInput',
        /only payloads\/<day>\/<sha256>/,
      );
  });
});

function keyOf(payload: Payload | undefined): string {
  return (JSON.parse(Buffer.from(payload?.data ?? []).toString()) as { readonly key: string }).key;
}

async function fails(work: Promise<unknown>, code: FailureCode, message: RegExp): Promise<void> {
  await assert.rejects(work, (error) => {
    assert.ok(error instanceof AnnealError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, message);
    return true;
  });
}
