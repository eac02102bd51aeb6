import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { FileHandle } from 'node:fs/promises';
import { open, rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

import type { ExternalData } from '../../activities/ports/external-data.js';
import { AnnealError } from '../../core/failures.js';
import type { PinnedObject } from '../../core/dataset-pin.js';
import { changedData } from './changed-data.js';
import type { HttpsOptions, HttpsQuestion } from './https-request.js';
import { askHttps } from './https-request.js';

/**
 * Files on web servers. Known again by a strong ETag with the length; where a server gives none, by the sha256 of the bytes, for which they
 * are read once when they are pinned.
 */
export function createHttpsSource(options: HttpsOptions): ExternalData {
  return {
    find: async (uri, signal) => {
      const pinned = await withTries(uri, { signal }, async () => await pin(uri, signal, options));
      return { source: uri, form: 'file', objects: [{ path: '', ...pinned }] };
    },
    fetch: async (object, { source, localPath }) =>
      await withTries(source, {}, async () => await fetchOnce(object, { source, localPath }, options)),
  };
}

type Pinned = Omit<PinnedObject, 'path'>;

async function pin(uri: string, signal: AbortSignal, options: HttpsOptions): Promise<Pinned> {
  const answer = await askFor(uri, { method: 'GET', signal }, options);
  const etag = strongEtag(answer);
  const length = Number(answer.headers['content-length'] ?? NaN);
  if (etag !== undefined && Number.isSafeInteger(length)) {
    answer.destroy();
    return { sizeBytes: length, etag };
  }
  return await readThrough(answer);
}

/** Weak ETags stand for what means the same, not for the same bytes. */
function strongEtag({ headers: { etag } }: IncomingMessage): string | undefined {
  return etag?.startsWith('"') === true ? etag : undefined;
}

async function readThrough(
  answer: IncomingMessage,
  into?: FileHandle,
): Promise<Required<Pick<Pinned, 'sizeBytes' | 'sha256'>>> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  for await (const chunk of answer) {
    if (!(chunk instanceof Uint8Array)) continue;
    hash.update(chunk);
    sizeBytes += chunk.byteLength;
    await into?.writeFile(chunk);
  }
  return { sizeBytes, sha256: hash.digest('hex') };
}

async function fetchOnce(
  object: PinnedObject,
  { source, localPath }: { readonly source: string; readonly localPath: string },
  options: HttpsOptions,
): Promise<void> {
  const { etag, sizeBytes, sha256 } = object;
  const pinned =
    sha256 === undefined ? `ETag ${etag}, ${sizeBytes} bytes` : `sha256 ${sha256}, ${sizeBytes} bytes`;
  const changed = (now: string) => changedData(`object ${source}`, { pinned, now });
  const answers = {
    412: () => changed('another one'),
    404: () => changed('gone'),
    410: () => changed('gone'),
  };
  const headers: { [name: string]: string } = etag === undefined ? {} : { 'if-match': etag };
  const answer = await askFor(source, { method: 'GET', headers }, { ...options, answers });
  const now = strongEtag(answer);
  // A server that does not know If-Match sends what is there.
  if (etag !== undefined && now !== etag) {
    answer.destroy();
    throw changed(now === undefined ? 'without an ETag' : `ETag ${now}`);
  }
  const handle = await open(localPath, 'wx', 0o444);
  try {
    const found = await readThrough(answer, handle);
    if (found.sizeBytes !== sizeBytes || (sha256 !== undefined && found.sha256 !== sha256))
      throw changed(`sha256 ${found.sha256}, ${found.sizeBytes} bytes`);
  } catch (error) {
    await rm(localPath, { force: true });
    throw error;
  } finally {
    answer.destroy();
    await handle.close();
  }
}

type Answers = { readonly [status: number]: () => AnnealError };

async function askFor(
  uri: string,
  question: HttpsQuestion,
  { answers = {}, ...options }: HttpsOptions & { readonly answers?: Answers },
): Promise<IncomingMessage> {
  const answer = await askHttps(uri, question, options);
  const { statusCode: status = 0 } = answer;
  if (status === 200) return answer;
  answer.destroy();
  const known = answers[status]?.();
  if (known) throw known;
  // What a server says while it is overloaded or half started is no answer to the question.
  if (status >= 500 || status === 408 || status === 429) throw new Error(`status ${status}`);
  const what =
    status === 401 || status === 403 ? 'the server does not let anybody read it' : 'nothing is there';
  throw new AnnealError(
    'InvalidInput',
    `The dataset ${uri} cannot be read: ${what} (status ${status}). Correct the URI.`,
  );
}

const WAITS_MS = [500, 2_000, 8_000];
/** Errors of this machine's disk: no other try mends them. */
const LOCAL = new Set(['ENOSPC', 'EDQUOT', 'EEXIST', 'EACCES', 'EROFS', 'EIO']);

async function withTries<T>(
  uri: string,
  { signal }: { readonly signal?: AbortSignal },
  work: () => Promise<T>,
): Promise<T> {
  for (let failures = 0; ; failures++) {
    try {
      return await work();
    } catch (error) {
      signal?.throwIfAborted();
      const code = error instanceof Error && 'code' in error ? String(error.code) : '';
      if (error instanceof AnnealError || LOCAL.has(code)) throw error;
      const wait = WAITS_MS[failures];
      if (wait === undefined) throw unavailable(uri, error);
      await delay(wait, undefined, { signal });
    }
  }
}

function unavailable(uri: string, error: unknown): AnnealError {
  const reason =
    error instanceof Error ? error.message || String('code' in error ? error.code : '') : String(error);
  return new AnnealError(
    'SourceUnavailable',
    `The dataset ${uri} cannot be read: ${reason}. Check the address and the network; it is tried again later.`,
    { cause: error },
  );
}
