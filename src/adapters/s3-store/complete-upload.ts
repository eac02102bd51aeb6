import type { S3 } from '@aws-sdk/client-s3';

import { AnnealError } from '../../core/failures.js';
import { compositeOf, readComposite } from './checksums.js';
import type { S3Connection } from './connect-s3.js';
import { classifyS3Error, isUnanswered } from './s3-problems.js';
import type { KnownPart, UnfinishedUpload } from './unfinished-uploads.js';

/**
 * Has the service put an object together from its parts, and returns when the object is there. A service that copies them says nothing for
 * minutes, and says yes at once to who asks again meanwhile: so only the first answer counts, and after it only the object itself.
 */
export async function completeUpload(
  connection: S3Connection,
  upload: Pick<UnfinishedUpload, 'objectKey' | 'uploadId'>,
  parts: readonly KnownPart[],
): Promise<void> {
  const { timing, call, pause } = connection;
  const action = { verb: 'store', key: upload.objectKey };
  const until = performance.now() + timing.completeMs;
  const completion = createCompletion(connection, upload, parts);
  let cause: unknown;
  for (let round = 1; ; round++) {
    const isFirst = (attempt: number) => round === 1 && attempt === 1;
    const isDone = await call(action, async (s3, attempt) => {
      if (!isFirst(attempt) && (await completion.isThere(s3))) return true;
      try {
        await completion.ask(s3);
        return isFirst(attempt);
      } catch (error) {
        if (isUnanswered(error)) {
          cause = error;
          return false;
        }
        // Done and forgotten between the look and the question.
        if (classifyS3Error(error) === 'no-upload' && (await completion.isThere(s3))) return true;
        throw error;
      }
    });
    if (isDone) return;
    if (performance.now() > until)
      throw new AnnealError(
        'StoreUnavailable',
        `The artifact store has not put "${upload.objectKey}" together within ${timing.completeMs / 1000} s. It is tried again later.`,
        { cause },
      );
    await pause(round);
  }
}

function createCompletion(
  { bucket }: S3Connection,
  { objectKey, uploadId }: Pick<UnfinishedUpload, 'objectKey' | 'uploadId'>,
  parts: readonly KnownPart[],
) {
  const of = { Bucket: bucket, Key: objectKey };
  const composite = compositeOf(parts.map(({ checksum }) => checksum));
  const listed = parts.map(({ number, etag, checksum }) => ({
    PartNumber: number,
    ETag: etag,
    ChecksumSHA256: checksum,
  }));
  let etag: string | undefined;
  return {
    ask: async (s3: S3): Promise<void> => {
      const answer = await s3.completeMultipartUpload({
        ...of,
        UploadId: uploadId,
        MultipartUpload: { Parts: listed },
      });
      etag = answer.ETag ?? etag;
      const found = readComposite(answer.ChecksumSHA256);
      if (found !== undefined && found !== composite)
        throw new AnnealError(
          'StoreUnavailable',
          `The artifact store put "${objectKey}" together with checksum ${found} instead of ${composite}.`,
        );
    },
    isThere: async (s3: S3): Promise<boolean> => {
      try {
        const there = await s3.headObject({ ...of, ChecksumMode: 'ENABLED' });
        const found = readComposite(there.ChecksumSHA256);
        return found === undefined ? etag !== undefined && there.ETag === etag : found === composite;
      } catch (error) {
        if (classifyS3Error(error) === 'absent') return false;
        throw error;
      }
    },
  };
}
