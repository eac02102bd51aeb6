import { Client, Connection, type ConnectionOptions } from '@temporalio/client';
import type { DataConverter } from '@temporalio/common';
import { AnnealError } from '../core/failures.js';

/** Where Temporal is, and how it is spoken to (TLS, API key, metadata). */
export interface TemporalEndpoint {
  readonly connection: ConnectionOptions;
  readonly namespace: string;
  /** The one that the project's workers use. */
  readonly dataConverter?: DataConverter;
}

/** A connected client of Temporal; `close` ends the connection. */
export interface TemporalConnection {
  readonly client: Client;
  readonly namespace: string;
  close(): Promise<void>;
}

const CONNECT_TIMEOUT_MS = 5_000;

/** Connects. @throws AnnealError ServerUnreachable with the address. */
export async function connectTemporal({
  connection,
  namespace,
  dataConverter,
}: TemporalEndpoint): Promise<TemporalConnection> {
  try {
    const connected = await Connection.connect({ connectTimeout: CONNECT_TIMEOUT_MS, ...connection });
    const client = new Client({
      connection: connected,
      namespace,
      ...(dataConverter === undefined ? {} : { dataConverter }),
    });
    return { client, namespace, close: async () => await connected.close() };
  } catch (cause) {
    const why =
      cause instanceof Error ? cause.message.replace(/\s+/g, ' ').replace(/\.$/, '') : String(cause);
    throw new AnnealError(
      'ServerUnreachable',
      `Temporal does not answer at ${connection.address ?? 'localhost:7233'} (${why}). Start the local servers with "anneal up", or check TEMPORAL_ADDRESS.`,
      { cause },
    );
  }
}
