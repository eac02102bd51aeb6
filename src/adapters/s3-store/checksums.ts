import { createHash } from 'node:crypto';

/** Name in an object's metadata of the hex sha256 of its content. */
export const SHA256_KEY = 'sha256';
/** Name in an object's metadata of the size of all its parts but the last. */
export const PART_BYTES_KEY = 'part-bytes';

/** The base64 sha256 of bytes, as S3's headers have it. */
export function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('base64');
}

/** What S3 makes of the checksums of an object's parts ("composite"): the checksum of the checksums. */
export function compositeOf(parts: readonly string[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part, 'base64');
  return hash.digest('base64');
}

/** A composite checksum as a service gives it: Amazon's ends in the number of parts, others leave that out. */
export function readComposite(given: string | undefined): string | undefined {
  return given?.replace(/-\d+$/, '');
}

/** Hashes a stream of bytes part by part, and says what S3 says of the whole. */
export function createCompositeHash(partBytes: number) {
  const parts: string[] = [];
  let hash = createHash('sha256');
  let filled = 0;
  const close = () => {
    parts.push(hash.digest('base64'));
    hash = createHash('sha256');
    filled = 0;
  };
  return {
    update: (bytes: Uint8Array) => {
      for (let at = 0; at < bytes.byteLength;) {
        const piece = bytes.subarray(at, at + partBytes - filled);
        hash.update(piece);
        at += piece.byteLength;
        filled += piece.byteLength;
        if (filled === partBytes) close();
      }
    },
    digest: () => {
      if (filled > 0) close();
      return compositeOf(parts);
    },
  };
}
