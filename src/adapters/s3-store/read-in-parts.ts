import type { S3Connection } from './connect-s3.js';
import type { PartBuffer, PartBuffers } from './part-buffers.js';
import { openObject, replaced, type OpenObject } from './read-object.js';

/** An object that is read in parts. */
export interface PartedRead {
  readonly objectKey: string;
  readonly partBytes: number;
  /** Memory for parts that arrive before it is their turn. */
  readonly buffers: PartBuffers;
}

/** Parts that are on their way while an earlier one is taken. */
const AHEAD = 2;

/**
 * Asks for an object as `openObject` does, a few parts at a time: one connection alone is slower than most disks. What is read is in
 * order, and all of it of the same object. One that is not larger than a part costs one request.
 */
export async function openInParts(
  connection: S3Connection,
  read: PartedRead,
): Promise<OpenObject | undefined> {
  const first = await openObject(connection, read.objectKey, { end: read.partBytes });
  // A service that knows no ranges sends everything at once.
  if (first === undefined || first.untilByte >= first.sizeBytes) return first;
  return { ...first, chunks: inOrder(connection, read, first) };
}

interface Part extends PartBuffer {
  readonly length: number;
}

async function* inOrder(
  connection: S3Connection,
  read: PartedRead,
  first: OpenObject,
): AsyncGenerator<Uint8Array> {
  const ahead: Promise<Part>[] = [];
  let at = first.untilByte;
  const ask = () => {
    while (ahead.length < AHEAD && at < first.sizeBytes) {
      const end = Math.min(at + read.partBytes, first.sizeBytes);
      const part = readPart(connection, read, { start: at, end, ifMatch: first.etag });
      // Whoever takes it hears of what went wrong.
      part.catch(() => undefined);
      ahead.push(part);
      at = end;
    }
  };
  try {
    ask();
    yield* first.chunks;
    for (let next = ahead.shift(); next !== undefined; next = ahead.shift()) {
      const part = await next;
      ask();
      try {
        yield part.bytes.subarray(0, part.length);
      } finally {
        part.giveBack();
      }
    }
  } finally {
    for (const part of ahead) void part.then(({ giveBack }) => giveBack()).catch(() => undefined);
  }
}

async function readPart(
  connection: S3Connection,
  { objectKey, buffers }: PartedRead,
  range: { readonly start: number; readonly end: number; readonly ifMatch: string | undefined },
): Promise<Part> {
  const buffer = await buffers.take(range.end - range.start);
  try {
    const object = await openObject(connection, objectKey, range);
    if (object === undefined) throw replaced(objectKey);
    let length = 0;
    for await (const chunk of object.chunks) {
      buffer.bytes.set(chunk, length);
      length += chunk.byteLength;
    }
    return { ...buffer, length };
  } catch (error) {
    buffer.giveBack();
    throw error;
  }
}
