import type { IncomingMessage } from 'node:http';
import { request as requestPlain } from 'node:http';
import { request as requestSecure } from 'node:https';
import { isIP } from 'node:net';

import { AnnealError } from '../../core/failures.js';
import { isPublicAddress, privateAddress, publicLookup } from './allowed-address.js';

/** What may be asked, and how long it may take. */
export interface HttpsOptions {
  /** Hosts, as `name` or `name:port`, that the operator allows wherever they are, also by `http://`. */
  readonly allowHosts: readonly string[];
  /** A connection on which nothing moves for so long is given up. Default 30 s. */
  readonly idleMs?: number;
}

/** One question. */
export interface HttpsQuestion {
  readonly method: 'GET' | 'HEAD';
  readonly headers?: { readonly [name: string]: string };
  readonly signal?: AbortSignal | undefined;
}

/** The answer of the last of a chain of redirects; its body is to be read or destroyed. */
export async function askHttps(
  uri: string,
  question: HttpsQuestion,
  options: HttpsOptions,
): Promise<IncomingMessage> {
  let url = new URL(uri);
  for (let redirects = 0; redirects <= REDIRECTS; redirects++) {
    const answer = await ask(url, question, options);
    const { statusCode = 0, headers } = answer;
    if (![301, 302, 303, 307, 308].includes(statusCode) || headers.location === undefined) return answer;
    answer.destroy();
    if (!URL.canParse(headers.location, url.href))
      throw new AnnealError('InvalidInput', `${uri} redirects to "${headers.location}", which is no URL.`);
    url = new URL(headers.location, url);
  }
  throw new AnnealError(
    'InvalidInput',
    `${uri} redirects more than ${REDIRECTS} times. Give the URI of the data itself.`,
  );
}

const REDIRECTS = 5;
const IDLE_MS = 30_000;

async function ask(
  url: URL,
  { method, headers, signal }: HttpsQuestion,
  { allowHosts, idleMs = IDLE_MS }: HttpsOptions,
): Promise<IncomingMessage> {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const allowed = allowHosts.includes(url.hostname) || allowHosts.includes(url.host);
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && allowed))
    throw new AnnealError(
      'InvalidInput',
      `A dataset at ${url.origin} would be read without encryption. Use https://, or add "${url.host}" to data.allowHosts in anneal.yaml.`,
    );
  // An address needs no look-up, so that nothing else would check it. What is written oddly (0x7f.1) is an address by now.
  if (isIP(host) !== 0 && !allowed && !isPublicAddress(host)) throw privateAddress(host, host);
  return await new Promise((resolve, reject) => {
    const send = url.protocol === 'https:' ? requestSecure : requestPlain;
    const request = send(
      url,
      {
        method,
        // Bytes as they are: compressed on the way they would have another length and ETag.
        headers: { 'accept-encoding': 'identity', 'user-agent': 'anneal', ...headers },
        lookup: publicLookup(host, allowed),
        agent: false,
        ...(signal && { signal }),
      },
      resolve,
    );
    request.setTimeout(idleMs, () => request.destroy(new Error(`nothing arrived for ${idleMs / 1_000} s`)));
    request.once('error', reject);
    request.end();
  });
}
