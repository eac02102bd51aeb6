import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createPartBuffers, type PartBuffer } from '../../src/adapters/s3-store/part-buffers.js';

describe('memory for parts', () => {
  test('is given to who asked first, also where another asks as one is given back', async () => {
    const buffers = createPartBuffers(1, 8);
    const order: string[] = [];
    const take = async (name: string) => {
      const buffer = await buffers.take(8);
      order.push(name);
      return buffer;
    };
    const first = await take('first');
    const second = take('second');
    await Promise.resolve();
    first.giveBack();
    const third = take('third');
    (await second).giveBack();
    (await third).giveBack();
    assert.deepEqual(order, ['first', 'second', 'third']);
  });

  test('lets many readers of parts in order come to their end, each with parts ahead', async () => {
    const buffers = createPartBuffers(3, 8);
    const read = async (parts: number) => {
      const ahead: Promise<PartBuffer>[] = [];
      let asked = 0;
      const ask = () => {
        for (; ahead.length < 2 && asked < parts; asked++) ahead.push(buffers.take(8));
      };
      ask();
      for (let next = ahead.shift(); next !== undefined; next = ahead.shift()) {
        const part = await next;
        ask();
        await new Promise((resolve) => setImmediate(resolve));
        part.giveBack();
      }
      return asked;
    };
    const read10 = Array.from({ length: 10 }, async () => await read(20));
    assert.deepEqual(await Promise.all(read10), Array(10).fill(20));
    const all = await Promise.all([buffers.take(8), buffers.take(8), buffers.take(8)]);
    assert.equal(all.length, 3);
  });
});
