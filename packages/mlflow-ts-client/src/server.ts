import { buildUrl } from './api.js';
import { CLIENT_ERROR_CODES, MlflowError } from './errors.js';
import type { CallOptions, Transport } from './transport.js';

/** Calls on the server itself. */
export interface ServerCalls {
  /**
   * Resolves when the server is up. It says nothing about the API: the host check and credentials do not apply here,
   * so make a real call, such as `experiments.get('0')`, before trusting a server.
   */
  readonly health: (options?: CallOptions) => Promise<void>;
  /** MLflow's version, such as `3.17.2`. */
  readonly version: (options?: CallOptions) => Promise<string>;
}

/** Makes the calls on the server itself. */
export function createServerCalls(transport: Transport): ServerCalls {
  const read = (path: string, expected: RegExp, options: CallOptions | undefined): Promise<string> =>
    transport.send({
      ...options,
      call: `GET /${path}`,
      method: 'GET',
      url: buildUrl(transport.server, path),
      read: async (response) => {
        const text = (await response.text()).trim();
        if (expected.test(text)) return text;
        throw new MlflowError({
          code: CLIENT_ERROR_CODES.BAD_RESPONSE,
          message: `${transport.server}/${path} answered ${JSON.stringify(text.slice(0, 80))}, which is not MLflow's answer. Check the tracking URI.`,
          status: response.status,
        });
      },
    });
  return {
    health: async (options) => {
      await read('health', /^OK$/, options);
    },
    version: (options) => read('version', /^\d+\.\d+/, options),
  };
}
