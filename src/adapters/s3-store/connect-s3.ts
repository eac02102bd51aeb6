import { setTimeout as delay } from 'node:timers/promises';
import type { S3, S3ClientConfig } from '@aws-sdk/client-s3';

import type { S3Settings } from '../../core/store-location.js';
import type { S3Action, S3ProblemKind } from './s3-problems.js';
import { classifyS3Error, toS3StoreError } from './s3-problems.js';

/** How long things may take, and how often they are tried. */
export interface S3Timing {
  readonly connectMs: number;
  /** A connection on which nothing moves for so long is given up. */
  readonly idleMs: number;
  /** From a request to the head of its answer. */
  readonly requestMs: number;
  /** For putting a large file together from its parts, which some services answer at the end only. */
  readonly completeMs: number;
  readonly tries: number;
  /** The n-th wait is a random time up to `baseMs * 2^n`, at most `capMs`. */
  readonly baseMs: number;
  readonly capMs: number;
}

/** What a connection is made from. */
export interface S3ConnectionOptions extends S3Settings {
  readonly bucket: string;
  readonly timing?: Partial<S3Timing>;
  /** Default: AWS's chain of variables, profiles, web identity, containers and instances. */
  readonly credentials?: S3ClientConfig['credentials'];
}

/** One bucket. The SDK is loaded, and the credentials are looked for, with the first call. */
export interface S3Connection {
  readonly bucket: string;
  readonly endpoint: string | undefined;
  readonly timing: S3Timing;
  /**
   * Asks the service, again after an answer that says nothing about the question, with pauses; once more with fresh credentials
   * where they have expired. `answers` are values for problems that are no failures here.
   * @throws AnnealError StoreUnavailable, or InvalidConfig where no repetition helps.
   */
  call<T, A = never>(
    action: S3Action,
    work: (s3: S3, attempt: number) => Promise<T>,
    answers?: Partial<Readonly<Record<S3ProblemKind, A>>>,
  ): Promise<T | A>;
  /** The pause after the n-th failure in a row. */
  pause(failures: number): Promise<void>;
}

/** A connection to a bucket; nothing is sent yet. */
export function connectS3(options: S3ConnectionOptions): S3Connection {
  const { bucket, endpoint } = options;
  const timing: S3Timing = { ...TIMING, ...options.timing };
  let client: Promise<S3> | undefined;
  const pause = async (failures: number) => {
    await delay(Math.random() * Math.min(timing.capMs, timing.baseMs * 2 ** failures));
  };
  return {
    bucket,
    endpoint,
    timing,
    pause,
    call: async <T, A>(
      action: S3Action,
      work: (s3: S3, attempt: number) => Promise<T>,
      answers?: Partial<Readonly<Record<S3ProblemKind, A>>>,
    ): Promise<T | A> => {
      let renewed = false;
      for (let attempt = 1; ; attempt++) {
        const used = (client ??= createClient(options, timing, { renewed: false }));
        try {
          return await work(await used, attempt);
        } catch (error) {
          const kind = classifyS3Error(error);
          if (answers !== undefined && kind in answers) return answers[kind] as A;
          if ((kind === 'expired' || kind === 'unclear') && !renewed) {
            renewed = true;
            if (client === used) client = createClient(options, timing, { renewed });
            continue;
          }
          if (kind === 'no-region' || kind === 'no-credentials') client = undefined;
          if (kind !== 'transient' || attempt >= timing.tries)
            throw toS3StoreError(action, { bucket, endpoint }, error);
        }
        await pause(attempt);
      }
    },
  };
}

const TIMING: S3Timing = {
  connectMs: 5_000,
  idleMs: 30_000,
  requestMs: 300_000,
  completeMs: 900_000,
  tries: 6,
  baseMs: 100,
  capMs: 10_000,
};
/** S3 services that are not AWS's take any region, most often this one. */
const ANY_REGION = 'us-east-1';

async function createClient(
  options: S3ConnectionOptions,
  timing: S3Timing,
  { renewed }: { readonly renewed: boolean },
): Promise<S3> {
  // Says in which year the SDK drops this version of Node: nothing that a user of Anneal can act on.
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true';
  const { S3 } = await import('@aws-sdk/client-s3');
  const { endpoint, region, credentials } = options;
  const config = {
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(region === undefined ? {} : { region }),
    ...(credentials === undefined ? {} : { credentials }),
    forcePathStyle: options.forcePathStyle ?? endpoint !== undefined,
    // Checksums are given with every upload; those that the SDK adds come as trailers, which some services store as content.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // Repeated here, where it is known what may be repeated, and without the SDK's budget for all calls together.
    maxAttempts: 1,
    requestHandler: {
      connectionTimeout: timing.connectMs,
      socketTimeout: timing.idleMs,
      requestTimeout: timing.requestMs,
      throwOnRequestTimeout: true,
    },
    // For the chain of credential providers: files of profiles may have changed since they were read.
    ...(renewed ? { ignoreCache: true } : {}),
  } satisfies S3ClientConfig & { readonly ignoreCache?: boolean };
  const client = new S3(config);
  if (endpoint === undefined || region !== undefined) return client;
  return await client.config.region().then(
    () => client,
    () => new S3({ ...config, region: ANY_REGION }),
  );
}
