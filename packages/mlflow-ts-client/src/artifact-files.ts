import { randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { rename, rm, stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { CLIENT_ERROR_CODES, MlflowError } from './errors.js';
import type { RequestBody } from './transport.js';

/** What may be uploaded: a local file, which is streamed, or content in memory. */
export type ArtifactSource = { readonly file: string } | { readonly content: string | Uint8Array };

/** A body that can be read again for every try. */
export async function openArtifactSource(source: ArtifactSource): Promise<RequestBody> {
  const contentType = 'application/octet-stream';
  if ('content' in source) return { contentType, open: () => source.content };
  const { file } = source;
  const found = await stat(file).catch((cause: unknown) => {
    throw localFileError(
      `The file ${file} cannot be uploaded because it cannot be read (${codeOf(cause)}).`,
      cause,
    );
  });
  if (!found.isFile()) throw localFileError(`${file} cannot be uploaded because it is not a regular file.`);
  const sizeBytes = found.size;
  if (sizeBytes === 0) return { contentType, open: () => new Uint8Array(0) };
  return { contentType, sizeBytes, open: (touch) => readChunks(file, sizeBytes, touch) };
}

/** The size is announced before the first byte, so a file that shrinks meanwhile must not be sent as if whole. */
async function* readChunks(
  file: string,
  sizeBytes: number,
  touch: () => void,
): AsyncGenerator<Uint8Array, void> {
  let sent = 0;
  const stream = createReadStream(file, { end: sizeBytes - 1 });
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      sent += chunk.byteLength;
      yield chunk;
      touch();
    }
  } catch (cause) {
    throw localFileError(`The file ${file} could not be read to its end (${codeOf(cause)}).`, cause);
  }
  if (sent !== sizeBytes) {
    throw localFileError(
      `The file ${file} changed while it was uploaded (${sent} of ${sizeBytes} bytes). Upload a file that nobody writes.`,
    );
  }
}

/** Streams an answer into `file`, which appears only when it is whole; returns its size. */
export async function saveResponse(response: Response, file: string, touch: () => void): Promise<number> {
  const partial = `${file}.partial-${randomUUID()}`;
  let sizeBytes = 0;
  const count = async function* (body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
    for await (const chunk of body) {
      touch();
      sizeBytes += chunk.byteLength;
      yield chunk;
    }
  };
  const target = createWriteStream(partial, { flags: 'wx' });
  try {
    await pipeline(count(readBody(response)), target);
    await rename(partial, file);
    return sizeBytes;
  } catch (error) {
    await rm(partial, { force: true });
    // An error of the local disk and not of the connection: repeating the download does not mend it.
    if (isFileSystemError(error)) {
      throw localFileError(`The artifact cannot be written to ${file} (${codeOf(error)}).`, error);
    }
    throw error;
  }
}

/** Reads an answer into memory, up to `maxBytes`. */
export async function readResponse(
  response: Response,
  maxBytes: number,
  touch: () => void,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of readBody(response)) {
    touch();
    sizeBytes += chunk.byteLength;
    if (sizeBytes > maxBytes) {
      throw new MlflowError({
        code: CLIENT_ERROR_CODES.INVALID_ARGUMENT,
        message: `The artifact at ${response.url} is larger than ${maxBytes} bytes. Use download() to stream it into a file, or raise maxBytes.`,
      });
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

async function* readBody(response: Response): AsyncGenerator<Uint8Array, void> {
  if (response.body === null) return;
  for await (const chunk of response.body as AsyncIterable<Uint8Array>) yield chunk;
}

function localFileError(message: string, cause?: unknown): MlflowError {
  return new MlflowError({ code: CLIENT_ERROR_CODES.LOCAL_FILE, message, cause });
}

function isFileSystemError(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error && 'path' in error;
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}
