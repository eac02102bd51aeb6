import { loadClientConnectConfig } from '@temporalio/envconfig';
import type { NativeConnectionOptions } from '@temporalio/worker';

/** Address, TLS, API key and metadata for a connection; clients and workers take the same. */
export type EndpointOptions = Pick<NativeConnectionOptions, 'address' | 'tls' | 'apiKey' | 'metadata'>;

/**
 * How to reach Temporal: the local server as it is, a server that the user set with what Temporal's own variables and profile say
 * about TLS, API key and metadata (`TEMPORAL_TLS_...`, `TEMPORAL_API_KEY`, `TEMPORAL_PROFILE`).
 */
export function loadTemporalEndpoint(server: {
  readonly address: string;
  readonly external: boolean;
}): EndpointOptions {
  if (!server.external) return { address: server.address };
  return { ...loadClientConnectConfig().connectionOptions, address: server.address };
}
