import type { GetObjectCommandOutput } from '@aws-sdk/client-s3';

import { AnnealError } from '../../core/failures.js';
import type { S3Connection } from './connect-s3.js';
import { classifyS3Error, toS3StoreError } from './s3-problems.js';

/** An object that is being read. */
export interface OpenObject {
  /** Of the whole object. */
  readonly sizeBytes: number;
  /** Where `chunks` end. */
  readonly untilByte: number;
  readonly etag?: string | undefined;
  readonly metadata: { readonly [name: string]: string };
  /** From where it was opened to where it was asked for; what is cut off is asked for again from there. To be read once, or left by `close`. */
  readonly chunks: AsyncIterable<Uint8Array>;
  close(): void;
}

/** From which byte on, to which one, which is left out, and of which object of that key: by ETag, by version. */
export interface OpenOptions {
  readonly start?: number | undefined;
  readonly end?: number | undefined;
  readonly ifMatch?: string | undefined;
  readonly versionId?: string | undefined;
}

/** Asks for an object. `undefined` when it does not exist, or is not the one that was asked for. */
export async function openObject(
  connection: S3Connection,
  objectKey: string,
  options: OpenOptions = {},
): Promise<OpenObject | undefined> {
  const { start = 0, end, ifMatch, versionId } = options;
  const first = await request(connection, { objectKey, at: start, end, ifMatch, versionId });
  if (first === undefined || first === 'replaced') return undefined;
  if (first === 'beyond-end')
    return { sizeBytes: start, untilByte: start, metadata: {}, chunks: none(), close: () => undefined };
  const untilByte = start + (first.ContentLength ?? 0);
  return {
    sizeBytes: Number(/\/(\d+)$/.exec(first.ContentRange ?? '')?.[1] ?? untilByte),
    untilByte,
    etag: first.ETag,
    metadata: first.Metadata ?? {},
    chunks: readOn(connection, { objectKey, start, end, untilByte, first, versionId }),
    close: () => void bodyOf(first).destroy(),
  };
}

interface Reading {
  readonly objectKey: string;
  readonly start: number;
  readonly end: number | undefined;
  readonly untilByte: number;
  readonly first: GetObjectCommandOutput;
  readonly versionId: string | undefined;
}

async function* readOn(connection: S3Connection, reading: Reading): AsyncGenerator<Uint8Array> {
  const { objectKey, start, end, untilByte, first, versionId } = reading;
  const action = { verb: 'read', key: objectKey };
  let at = start;
  let failures = 0;
  let answer: Answer = first;
  for (;;) {
    if (answer === undefined || answer === 'beyond-end' || answer === 'replaced') throw replaced(objectKey);
    const body = bodyOf(answer);
    try {
      for await (const chunk of body) {
        if (!(chunk instanceof Uint8Array)) continue;
        at += chunk.byteLength;
        failures = 0;
        yield chunk;
      }
      if (at >= untilByte) return;
      failures += 1;
    } catch (error) {
      failures += 1;
      if (classifyS3Error(error) !== 'transient' || failures >= connection.timing.tries)
        throw toS3StoreError(action, connection, error);
    } finally {
      body.destroy();
    }
    if (failures >= connection.timing.tries)
      throw new AnnealError(
        'StoreUnavailable',
        `The artifact store cannot read "${objectKey}": the connection ends after ${at} of ${untilByte} bytes, again and again. Check the network.`,
      );
    await connection.pause(failures);
    answer = await request(connection, {
      objectKey,
      at,
      end,
      ifMatch: first.ETag,
      versionId,
    });
  }
}

type Answer = GetObjectCommandOutput | 'beyond-end' | 'replaced' | undefined;

async function request(
  { bucket, call }: S3Connection,
  from: Omit<OpenOptions, 'start'> & { readonly objectKey: string; readonly at: number },
): Promise<Answer> {
  const { objectKey, at, end, ifMatch, versionId } = from;
  return await call<GetObjectCommandOutput, Answer>(
    { verb: 'read', key: objectKey },
    (s3) =>
      s3.getObject({
        Bucket: bucket,
        Key: objectKey,
        ...(at === 0 && end === undefined
          ? {}
          : { Range: `bytes=${at}-${end === undefined ? '' : end - 1}` }),
        ...(ifMatch === undefined ? {} : { IfMatch: ifMatch }),
        ...(versionId === undefined ? {} : { VersionId: versionId }),
      }),
    { absent: undefined, exists: 'replaced', 'beyond-end': 'beyond-end' },
  );
}

/** In Node the body is a stream of Node. */
function bodyOf({ Body }: GetObjectCommandOutput): AsyncIterable<unknown> & { destroy(): unknown } {
  if (Body !== undefined && 'destroy' in Body && Symbol.asyncIterator in Body) return Body;
  throw new AnnealError('StoreUnavailable', 'The S3 client gave an object without a body.');
}

/** An object that is not any more what it was when its reading began. */
export function replaced(objectKey: string): AnnealError {
  return new AnnealError(
    'StoreUnavailable',
    `"${objectKey}" was replaced or removed in the artifact store while it was read. It is read again later.`,
  );
}

async function* none(): AsyncGenerator<Uint8Array> {
  // An object that ends before the byte that was asked for.
}
