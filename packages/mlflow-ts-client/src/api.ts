import type { z } from 'zod';
import { CLIENT_ERROR_CODES, MlflowError } from './errors.js';
import type { CallOptions, HttpRequest, Transport } from './transport.js';
import { fromWire, toWire } from './wire.js';

/** Query parameters; a list becomes a repeated key, undefined is left out. */
export type Query = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

/** One call of MLflow's REST API, below `/api/2.0/mlflow/`. */
export interface ApiCall<T> extends CallOptions {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly query?: Query | undefined;
  /** camelCase; sent as snake_case JSON. */
  readonly body?: Readonly<Record<string, unknown>> | undefined;
  readonly schema: z.ZodType<T>;
  /** False for a create that makes a second thing when repeated. */
  readonly idempotent?: boolean | undefined;
  readonly settle?: HttpRequest<T>['settle'];
}

/** Calls the API and validates what it answers. */
export interface Api {
  readonly server: string;
  readonly call: <T>(call: ApiCall<T>) => Promise<T>;
}

/** The JSON layer on top of a transport. */
export function createApi(transport: Transport): Api {
  return {
    server: transport.server,
    call: <T>({ method, path, query, body, schema, ...rest }: ApiCall<T>): Promise<T> => {
      const call = `${method} ${path}`;
      // MLflow refuses POST and DELETE without a content type and a JSON body.
      const content = method === 'GET' ? undefined : JSON.stringify(toWire(body ?? {}));
      return transport.send<T>({
        ...rest,
        call,
        method,
        url: buildUrl(transport.server, `api/2.0/mlflow/${path}`, query),
        body: content === undefined ? undefined : { contentType: 'application/json', open: () => content },
        read: async (response) =>
          readJson(
            { call, server: transport.server, text: await response.text(), idempotent: rest.idempotent },
            schema,
          ),
      });
    },
  };
}

/** An address below the server's path prefix. */
export function buildUrl(server: string, path: string, query: Query = {}): URL {
  const url = new URL(`${server}/${path}`);
  for (const [key, value] of Object.entries(toWire(query) as Query)) {
    for (const item of Array.isArray(value) ? value : [value]) {
      if (item !== undefined) url.searchParams.append(key, String(item));
    }
  }
  return url;
}

/** The answer's text and where it came from. */
export interface JsonAnswer {
  readonly call: string;
  readonly server: string;
  readonly text: string;
  readonly idempotent?: boolean | undefined;
}

/** Parses and validates an answer; unknown fields are dropped, wrong ones are a BAD_RESPONSE with their path. */
export function readJson<T>({ call, server, text, idempotent = true }: JsonAnswer, schema: z.ZodType<T>): T {
  const bad = (what: string): MlflowError =>
    new MlflowError({
      code: CLIENT_ERROR_CODES.BAD_RESPONSE,
      message: `${call} on ${server} answered ${what}. Check that the tracking URI names an MLflow server of 3.8 or later and no login page.`,
      status: 200,
      doubt: !idempotent,
    });
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw bad(`${/^\s*</.test(text) ? 'an HTML page' : 'text'} instead of JSON`);
  }
  const parsed = schema.safeParse(fromWire(json));
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw bad(`with an unexpected field "${issue?.path.join('.') ?? ''}" (${issue?.message ?? 'unknown'})`);
}

/** For DELETE: "not there" after a try whose answer was lost means that the try worked. */
export function absentIsDone(error: MlflowError): { value: undefined } | undefined {
  return error.code === 'RESOURCE_DOES_NOT_EXIST' ? { value: undefined } : undefined;
}
