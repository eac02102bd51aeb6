import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import type { Payload, PayloadCodec } from '@temporalio/common';
import { storeKeys, type ArtifactStore } from '../core/artifact-store.js';
import { AnnealError } from '../core/failures.js';
import { dayOf } from '../core/retention.js';
import { INLINE_PAYLOAD } from '../core/run.js';

/** Payloads above this many bytes go to the store and travel by reference. */
export const PAYLOAD_LIMIT_BYTES = 32 * 1024;

const ENCODING = 'binary/anneal-reference';
const compress = promisify(gzip);
const decompress = promisify(gunzip);

/**
 * Keeps large payloads out of Temporal's history: bytes above {@link PAYLOAD_LIMIT_BYTES} are gzipped into the store under their
 * sha256, and the payload names them. Clients, workers and replay need the same codec.
 * What is marked with {@link INLINE_PAYLOAD} (the answers of queries, which no history keeps) stays as it is.
 * A reference whose object is gone or has other bytes fails with `InputMissing`, one to anything but a payload with `InvalidInput`:
 * whoever can write a history must not read the rest of the store with it.
 */
export function createPayloadCodec(
  store: Pick<ArtifactStore, 'putBytes' | 'readBytes' | 'uriOf'>,
  clock: { nowMs(): number } = { nowMs: () => Date.now() },
): PayloadCodec {
  const place = { store, clock };
  return {
    encode: async (payloads) =>
      await Promise.all(payloads.map(async (payload) => await encode(place, payload))),
    decode: async (payloads) =>
      await Promise.all(payloads.map(async (payload) => await decode(store, payload))),
  };
}

interface Place {
  readonly store: Pick<ArtifactStore, 'putBytes'>;
  readonly clock: { nowMs(): number };
}

async function encode({ store, clock }: Place, payload: Payload): Promise<Payload> {
  if ((payload.data?.length ?? 0) <= PAYLOAD_LIMIT_BYTES || isInline(payload)) return payload;
  const metadata = Object.fromEntries(
    Object.entries(payload.metadata ?? {}).map(([key, value]) => [key, toBase64(value)]),
  );
  const head = Buffer.from(JSON.stringify(metadata));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(head.length);
  const bytes = await compress(Buffer.concat([length, head, payload.data ?? new Uint8Array()]));
  const sha256 = digestOfBytes(bytes);
  // Never an object of another day: one that no history names any more may be about to be removed.
  const key = storeKeys.payload(dayOf(clock.nowMs()), sha256);
  await store.putBytes(key, bytes, { ifAbsent: true });
  const reference = { key, bytes: payload.data?.length ?? 0 };
  return { metadata: { encoding: Buffer.from(ENCODING) }, data: Buffer.from(JSON.stringify(reference)) };
}

function isInline({ metadata }: Payload): boolean {
  return metadata?.[INLINE_PAYLOAD] !== undefined;
}

async function decode(store: Pick<ArtifactStore, 'readBytes' | 'uriOf'>, payload: Payload): Promise<Payload> {
  if (Buffer.from(payload.metadata?.['encoding'] ?? []).toString() !== ENCODING) return payload;
  const { key, sha256 } = readReference(payload.data);
  const stored = await store.readBytes(key);
  if (!stored)
    throw new AnnealError(
      'InputMissing',
      `A large payload of this run is no longer in the store (${store.uriOf(key)}). Restore it from a backup, or start the run again.`,
    );
  if (digestOfBytes(stored) !== sha256)
    throw new AnnealError(
      'InputMissing',
      `A large payload of this run is damaged: ${store.uriOf(key)} is not what was stored. Restore it from a backup, or start the run again.`,
    );
  const bytes = await decompress(stored);
  const headLength = bytes.readUInt32BE(0);
  const head = JSON.parse(bytes.subarray(4, 4 + headLength).toString()) as { [key: string]: string };
  const metadata = Object.fromEntries(
    Object.entries(head).map(([name, value]) => [name, Buffer.from(value, 'base64')]),
  );
  return { metadata, data: bytes.subarray(4 + headLength) };
}

/** The only keys that {@link encode} writes. */
const KEY = /^payloads\/\d{4}-\d{2}-\d{2}\/([0-9a-f]{64})$/;

function readReference(data: Payload['data']): { readonly key: string; readonly sha256: string } {
  const text = Buffer.from(data ?? []).toString();
  const key = keyIn(text);
  const sha256 = typeof key === 'string' ? KEY.exec(key)?.[1] : undefined;
  if (typeof key !== 'string' || sha256 === undefined)
    throw new AnnealError(
      'InvalidInput',
      `A payload refers to ${text.slice(0, 200)}, and only payloads/<day>/<sha256> are payloads. Send the value itself, or one that Anneal encoded.`,
    );
  return { key, sha256 };
}

function keyIn(text: string): unknown {
  try {
    return (JSON.parse(text) as { readonly key?: unknown } | null)?.key;
  } catch {
    return undefined;
  }
}

function digestOfBytes(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}
