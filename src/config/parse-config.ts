import { isMap, isScalar, LineCounter, parseDocument } from 'yaml';
import type { Document } from 'yaml';
import type { z } from 'zod';
import { AnnealError } from '../core/failures.js';
import { describeValue } from '../core/schema.js';
import { isS3Uri, s3UriProblem } from '../core/store-location.js';
import { configSchema, keysAt } from './config-schema.js';
import { kubernetesProblem } from './kubernetes-problem.js';
import type { ConfigFile } from './config-schema.js';
import { nearestName } from '../core/nearest-name.js';

/**
 * The settings of an anneal.yaml, checked.
 * @param shown the file's name for messages.
 * @throws AnnealError InvalidConfig for the first thing that is wrong, with its line and column.
 */
export function parseConfig(text: string, shown: string): ConfigFile {
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    logLevel: 'error',
    stringKeys: true,
  });
  const at = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return `${shown}:${line}:${col}`;
  };
  const syntax = document.errors[0] ?? document.warnings[0];
  if (syntax)
    throw invalid(
      `${at(syntax.pos[0])}: ${syntaxProblem(syntax.code, syntax.message, keyAt(text, syntax.pos[0]))}`,
    );
  const checked = configSchema.safeParse(toPlain(document, shown) ?? {});
  if (!checked.success) {
    const problems = checked.error.issues.map((issue) => problemOf(issue, document));
    const first = problems.sort((a, b) => a.offset - b.offset)[0];
    throw invalid(`${at(first?.offset ?? 0)}: ${first?.message ?? 'cannot be used.'}`);
  }
  refusePassword(checked.data, () => at(offsetOf(document, ['smtp', 'url'])));
  refuseCredentials(checked.data, () => at(offsetOf(document, ['mlflow', 'uri'])));
  refuseOtherStores(checked.data, () => at(offsetOf(document, ['store'])));
  const lost = kubernetesProblem(checked.data);
  if (lost) throw invalid(`${at(offsetOf(document, lost.path))}: ${lost.message}`);
  return checked.data;
}

function invalid(message: string): AnnealError {
  return new AnnealError('InvalidConfig', message);
}

/** The key that begins at an offset. */
function keyAt(text: string, offset: number): string {
  return /^[^:\n]*/.exec(text.slice(offset))?.[0].trim() ?? '';
}

function syntaxProblem(code: string, message: string, found: string): string {
  if (code === 'DUPLICATE_KEY') return `the key "${found}" is there twice; keep one of the two.`;
  const sentence = (message.split('\n')[0] ?? message).replace(/\.$/, '');
  return `not readable as YAML: ${sentence}. Correct this line.`;
}

function toPlain(document: Document, shown: string): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch (cause) {
    throw invalid(`${shown}: ${(cause as Error).message}. Write the settings out instead of by aliases.`);
  }
}

function problemOf(
  issue: z.core.$ZodIssue,
  document: Document,
): { readonly offset: number; readonly message: string } {
  const path = issue.path;
  if (issue.code === 'unrecognized_keys') {
    const key = issue.keys[0] ?? '';
    const known = keysAt(path, plainAt(document, [...path.slice(0, 2), 'executor']));
    const near = nearestName(key, known);
    const next =
      near === undefined
        ? `It may be ${listed(known)}.`
        : `Did you mean "${near}"? Known here: ${listed(known)}.`;
    return {
      offset: keyOffset(document, [...path, key]),
      message: `unknown key "${dotted([...path, key])}". ${next}`,
    };
  }
  if (issue.code === 'invalid_key') {
    const key = String(path.at(-1) ?? '');
    return {
      offset: keyOffset(document, path),
      message: `"${key}" in ${dotted(path.slice(0, -1))} cannot be used; it must be ${issue.issues[0]?.message ?? 'a name'}. Rename it.`,
    };
  }
  const found = describeValue(document.getIn(path) === null ? null : plainAt(document, path));
  const subject = path.length === 0 ? 'the file' : dotted(path);
  return {
    offset: offsetOf(document, path),
    message: `${subject} is ${found}; it must be ${issue.message}. Change it, or leave it out for the default.`,
  };
}

function plainAt(document: Document, path: readonly PropertyKey[]): unknown {
  let value: unknown = document.toJS();
  for (const key of path)
    value =
      typeof value === 'object' && value !== null
        ? Object.getOwnPropertyDescriptor(value, key)?.value
        : undefined;
  return value;
}

function offsetOf(document: Document, path: readonly PropertyKey[]): number {
  const node = path.length === 0 ? document.contents : document.getIn(path, true);
  return rangeStart(node) ?? keyOffset(document, path);
}

function keyOffset(document: Document, path: readonly PropertyKey[]): number {
  const parent = path.length <= 1 ? document.contents : document.getIn(path.slice(0, -1), true);
  const pair = isMap(parent)
    ? parent.items.find((item) => isScalar(item.key) && item.key.value === path.at(-1))
    : undefined;
  return rangeStart(pair?.key) ?? 0;
}

function rangeStart(node: unknown): number | undefined {
  const range = (node as { readonly range?: readonly number[] | null } | null | undefined)?.range;
  return range?.[0];
}

function refusePassword(config: ConfigFile, position: () => string): void {
  if (config.smtp?.url !== undefined && new URL(config.smtp.url).password !== '')
    throw invalid(
      `${position()}: smtp.url holds a password; this file is not the place for one. Remove it here and set ANNEAL_SMTP_URL.`,
    );
}

function refuseCredentials({ mlflow }: ConfigFile, position: () => string): void {
  if (mlflow?.uri === undefined) return;
  const { username, password } = new URL(mlflow.uri);
  if (username !== '' || password !== '')
    throw invalid(
      `${position()}: mlflow.uri holds credentials; this file is not the place for them. Remove them here and set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.`,
    );
}

function refuseOtherStores(config: ConfigFile, position: () => string): void {
  const store = config.store;
  if (store !== undefined && isS3Uri(store)) {
    const problem = s3UriProblem(store);
    if (problem !== undefined)
      throw invalid(`${position()}: store is ${describeValue(store)}; it must be ${problem}. Correct it.`);
    return;
  }
  if (store !== undefined && /^[a-z][a-z0-9+.-]*:\/\//i.test(store) && !/^file:\/\/\/[^?#]*$/.test(store))
    throw invalid(
      `${position()}: store is ${describeValue(store)}; it must be a directory, a file:///... URI or s3://BUCKET/PREFIX. Change it, or leave it out for .anneal/local/store.`,
    );
}

function dotted(path: readonly PropertyKey[]): string {
  return path.map(String).join('.');
}

function listed(names: readonly string[]): string {
  return names.join(', ');
}
