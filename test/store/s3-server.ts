import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { S3 } from '@aws-sdk/client-s3';

import type { S3StoreOptions } from '../../src/adapters/s3-store/create-s3-store.js';
import { findFreePort } from '../../src/local/free-port.js';

/** The S3 server that tests run against: versitygw, or moto where there is no Go. */
export const s3Program = process.env['ANNEAL_TEST_S3'];
/** moto neither checks who asks nor what arrives. */
export const isMoto = s3Program !== undefined && path.basename(s3Program).startsWith('moto');

/** A real S3 server on a port of its own, with one bucket. */
export interface S3Server {
  readonly endpoint: string;
  readonly bucket: string;
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string };
  /** For whoever reads AWS's variables. */
  readonly env: { readonly [name: string]: string };
  /** Straight to the server, for tests to look and to meddle. */
  readonly s3: S3;
  /** What a store in a folder of its own is made from. */
  storeOptions(): S3StoreOptions;
  stop(): Promise<void>;
}

const BUCKET = 'anneal-tests';

/** Starts the server. @param host where it listens: pods of the test cluster cannot reach the loopback address. */
export async function startS3Server(host = '127.0.0.1'): Promise<S3Server> {
  if (s3Program === undefined) throw new Error('ANNEAL_TEST_S3 is not set.');
  const directory = await mkdtemp(path.join(tmpdir(), 'anneal-s3-'));
  const port = await findFreePort([]);
  const credentials = { accessKeyId: 'anneal', secretAccessKey: randomUUID() };
  const endpoint = `http://${host}:${port}`;
  const server = await startProgram(s3Program, { directory, host, port, credentials });
  const s3 = new S3({ endpoint, region: 'us-east-1', credentials, forcePathStyle: true });
  const stop = async () => {
    s3.destroy();
    if (server.exitCode === null && server.signalCode === null) {
      server.kill('SIGKILL');
      await once(server, 'exit');
    }
    await rm(directory, { recursive: true, force: true });
  };
  try {
    await untilAnswering(endpoint, () => server.exitCode !== null);
    await s3.createBucket({ Bucket: BUCKET });
  } catch (error) {
    await stop();
    throw error;
  }
  let stores = 0;
  return {
    endpoint,
    bucket: BUCKET,
    credentials,
    env: {
      AWS_ACCESS_KEY_ID: credentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
      AWS_ENDPOINT_URL_S3: endpoint,
      AWS_REGION: 'us-east-1',
    },
    s3,
    storeOptions: () => ({
      root: `s3://${BUCKET}/store-${(stores += 1)}`,
      endpoint,
      region: 'us-east-1',
      credentials,
    }),
    stop,
  };
}

interface Start {
  readonly directory: string;
  readonly host: string;
  readonly port: number;
  readonly credentials: S3Server['credentials'];
}

async function startProgram(program: string, { directory, host, port, credentials }: Start) {
  // The side-car folder holds what would be extended attributes, which not every file system has.
  const inside = (name: string) => path.join(directory, name);
  const [data, sidecar, versions] = [inside('data'), inside('sidecar'), inside('versions')];
  await Promise.all([mkdir(data), mkdir(sidecar), mkdir(versions)]);
  const args = isMoto
    ? ['--host', host, '--port', String(port)]
    : [
        ...['--port', `${host}:${port}`, '--quiet', '--keep-alive'],
        // Buckets keep versions only where they are told to.
        ...['posix', '--sidecar', sidecar, '--versioning-dir', versions, data],
      ];
  const child = spawn(program, args, {
    cwd: directory,
    stdio: 'ignore',
    env: {
      PATH: process.env['PATH'],
      HOME: directory,
      ROOT_ACCESS_KEY: credentials.accessKeyId,
      ROOT_SECRET_KEY: credentials.secretAccessKey,
    },
  });
  await once(child, 'spawn');
  return child;
}

async function untilAnswering(endpoint: string, hasEnded: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 30_000; Date.now() < deadline;) {
    if (hasEnded()) break;
    const answer = await fetch(endpoint).catch(() => undefined);
    if (answer !== undefined) return void (await answer.arrayBuffer());
    await delay(50);
  }
  throw new Error(`The S3 server ${String(s3Program)} does not answer at ${endpoint}.`);
}
