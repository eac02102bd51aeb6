/** A value that survives JSON without change: no `undefined`, no NaN, no dates, no functions. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/**
 * The one text of a JSON value: keys sorted by code unit, no white space (RFC 8785 without its number formatting corner
 * cases: numbers print as ECMAScript prints them). Properties whose value is `undefined` are left out.
 * @throws TypeError when the value holds something JSON cannot carry; the message names the path.
 */
export function canonicalJson(value: unknown, path = '$'): string {
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw new TypeError(`${path} is ${value}, which JSON cannot carry`);
    return JSON.stringify(value);
  }
  if (Array.isArray(value))
    return `[${Array.from(value, (item: unknown, i) => canonicalJson(item, `${path}[${i}]`)).join(',')}]`;
  if (isPlain(value)) {
    const members = Object.entries(value)
      .filter(([, member]) => member !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
      .map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member, `${path}.${key}`)}`);
    return `{${members.join(',')}}`;
  }
  throw new TypeError(`${path} is ${nameOf(value)}, which JSON cannot carry`);
}

/** An object of members alone: a date or a map would lose what it holds, and two of them would have one text. */
function isPlain(value: unknown): value is object {
  return (
    typeof value === 'object' &&
    Object.prototype.toString.call(value) === '[object Object]' &&
    !(value !== null && 'toJSON' in value && typeof value.toJSON === 'function')
  );
}

function nameOf(value: unknown): string {
  if (typeof value !== 'object') return `a ${typeof value}`;
  const name = Object.prototype.toString.call(value).slice(8, -1);
  return `a ${name === 'Object' ? 'object with toJSON()' : name}`;
}
