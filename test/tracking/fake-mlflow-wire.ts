/** A tag or parameter on the wire. */
export interface Pair {
  key: string;
  value: string;
}
/** What a call answers. */
export interface Answer {
  status: number;
  json?: unknown;
  bytes?: Buffer;
}

/** Body and query of a call. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- bodies of many calls; the fake is strict where it matters
export type Body = any;

/** Calls by method and route. */
export type Handlers = Record<string, (body: Body) => Answer>;

/** MLflow's filters as far as they are used: equality of tags and of the status, joined by AND. */
export function matches(
  filter: string | undefined,
  tags: Map<string, string>,
  { status, runId }: { readonly status?: string | undefined; readonly runId?: string | undefined } = {},
): boolean {
  return (filter ?? '').split(' AND ').every((condition) => {
    const tag = /^tags\.`([^`]+)` = '([^']+)'$/.exec(condition);
    if (tag) return tags.get(tag[1] ?? '') === tag[2];
    const attribute = /^attributes\.status = '(\w+)'$/.exec(condition);
    if (attribute) return status === attribute[1];
    const run = /^run_id = '(\w+)'$/.exec(condition);
    if (run) return runId === run[1];
    throw new Error(`the fake does not know the filter ${condition}`);
  });
}

export function toMap(pairs: Pair[] | undefined): Map<string, string> {
  return new Map((pairs ?? []).map(({ key, value }) => [key, value]));
}

export function toPairs(map: Map<string, string>): Pair[] {
  return [...map].map(([key, value]) => ({ key, value }));
}

export function ok(json: unknown): Answer {
  return { status: 200, json };
}

export function fail(status: number, error_code: string, message: string): Answer {
  return { status, json: { error_code, message } };
}
