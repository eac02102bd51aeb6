import type { ArtifactRef } from './artifacts.js';
import { digestOf, digestOfText } from './digest.js';
import { canonicalJson, type Json } from './json.js';
import type { SlotSchema } from './schema.js';
import type { CommandArgument, ParameterValues, SecretRef } from './step.js';

/**
 * Everything that decides what a step makes, and nothing else: not resources, retries, pools or names of runs. Its digest is the
 * step's cache key.
 */
export interface CacheMaterial {
  readonly step: string;
  readonly image?: string | undefined;
  /** Digest of the step's code files: names, modes, contents. */
  readonly code: string | undefined;
  /** Digest of its Python lock. */
  readonly python?: string | undefined;
  readonly env: { readonly [name: string]: string | SecretRef };
  readonly outputs: { readonly [name: string]: SlotSchema };
  readonly version?: string | undefined;
  readonly command: readonly CommandArgument[];
  readonly parameters: ParameterValues;
  /** Kind and content digest of each artifact. */
  readonly inputs: { readonly [name: string]: Json };
}

/** The cache key of a step call: 64 hex digits. */
export function cacheKey(material: CacheMaterial): string {
  return digestOf(material);
}

/** What of an input counts: what it is and its contents, not where it is. */
export function inputDigests(inputs: { readonly [name: string]: ArtifactRef }): {
  readonly [name: string]: Json;
} {
  return Object.fromEntries(Object.entries(inputs).map(([name, { kind, digest }]) => [name, [kind, digest]]));
}

/** The components of a key by name, such as `parameter trees`, `input data`, `code features.py`, with a short text or a digest each. */
export type CacheParts = { readonly [part: string]: string };

/** Code files of a step that are named one by one; more count as one component. */
const NAMED_FILES = 500;
/** Longest value that is kept as it is. */
const SHOWN_CHARS = 120;

/**
 * Names the components of a key. Values of environment variables and long texts are kept as digests only.
 * @param codeFiles digest of each code file by name, where they are known.
 */
export function cacheParts(
  material: CacheMaterial,
  codeFiles?: { readonly [name: string]: string },
): CacheParts {
  const { image, code, python, version, command } = material;
  const files = Object.entries(codeFiles ?? {});
  const named = files.length > 0 && files.length <= NAMED_FILES;
  return {
    ...(named ? digestsOf('code', codeFiles ?? {}) : { code: shortDigest(code ?? '') }),
    ...textOf('image', image),
    ...textOf('python lock', python),
    ...textOf('version', version),
    command: shortText(command),
    ...digestsOf('environment', material.env),
    ...shown('output', material.outputs),
    ...shown('parameter', material.parameters),
    ...digestsOf('input', material.inputs),
  };
}

function textOf(part: string, value: string | undefined): CacheParts {
  return value === undefined ? {} : { [part]: value };
}

function shown(kind: string, values: { readonly [name: string]: unknown }): CacheParts {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [`${kind} ${name}`, shortText(value)]),
  );
}

function digestsOf(kind: string, values: { readonly [name: string]: unknown }): CacheParts {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [`${kind} ${name}`, shortDigest(canonicalJson(value))]),
  );
}

function shortText(value: unknown): string {
  const text = canonicalJson(value);
  return text.length <= SHOWN_CHARS ? text : shortDigest(text);
}

function shortDigest(text: string): string {
  return `sha256:${digestOfText(text).slice(0, 16)}`;
}

/** One component of a key that is not what it was. Absent: it was not part of that key. */
export interface PartChange {
  readonly part: string;
  readonly before?: string;
  readonly now?: string;
}

/** The components that differ, in the order of their names. A command that differs beside a parameter is left out: it holds its value. */
export function comparePartsOf(before: CacheParts, now: CacheParts): PartChange[] {
  const parts = [...new Set([...Object.keys(before), ...Object.keys(now)])].sort();
  const changes = parts
    .filter((part) => before[part] !== now[part])
    .map((part) => {
      const [was, is] = [before[part], now[part]];
      return {
        part,
        ...(was === undefined ? {} : { before: was }),
        ...(is === undefined ? {} : { now: is }),
      };
    });
  const parameters = changes.some(({ part }) => part.startsWith('parameter '));
  return parameters ? changes.filter(({ part }) => part !== 'command') : changes;
}

/** Something with components that was made at some time. */
export interface Compared {
  readonly parts: CacheParts;
  readonly storedAtMs: number;
}

/** The one with the fewest differing components, the newest of equals; undefined among none. */
export function nearestOf<T extends Compared>(
  candidates: readonly T[],
  parts: CacheParts,
): { readonly nearest: T; readonly changes: readonly PartChange[] } | undefined {
  let found: { readonly nearest: T; readonly changes: readonly PartChange[] } | undefined;
  for (const candidate of candidates) {
    const changes = comparePartsOf(candidate.parts, parts);
    const fewer = found === undefined ? 1 : found.changes.length - changes.length;
    if (found === undefined || fewer > 0 || (fewer === 0 && candidate.storedAtMs > found.nearest.storedAtMs))
      found = { nearest: candidate, changes };
  }
  return found;
}
