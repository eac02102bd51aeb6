import { digestOfText } from './digest.js';
import type { Json } from './json.js';

/** An output artifact as Kubeflow Pipelines' cache sees it: without its URI. */
export interface KfpArtifactSpec {
  readonly name?: string;
  readonly type?: {
    readonly schemaTitle?: string;
    readonly schemaUri?: string;
    readonly instanceSchema?: string;
    readonly schemaVersion?: string;
  };
  readonly metadata?: { readonly [name: string]: Json };
}

/**
 * What decides in Kubeflow Pipelines whether a task is executed, message `CacheKey` of `api/v2alpha1/cache_key.proto`. Neither contents of
 * artifacts, which count by the ids under which KFP recorded them, nor secrets, resources or the digest of the image are part of it.
 *
 * For imported pipelines of KFP. Nothing imports them yet, so that only the tests call this: they hold it to keys that KFP's own code made.
 */
export interface KfpCacheKey {
  /** Recorded ids of the artifacts of each input, in order. */
  readonly inputArtifactNames: { readonly [input: string]: readonly string[] };
  /** Values as they are after defaults and conversion to the declared types. */
  readonly inputParameterValues: { readonly [name: string]: Json };
  /** Of each output the first artifact. */
  readonly outputArtifactsSpec: { readonly [output: string]: KfpArtifactSpec };
  /** Declared types, such as `STRING`, `NUMBER_INTEGER`. */
  readonly outputParametersSpec: { readonly [output: string]: string };
  readonly container: {
    readonly image: string;
    /** Command and arguments one after the other, with their placeholders as they are written. */
    readonly cmdArgs: readonly string[];
    /** Claims of volumes that are mounted, in any order. */
    readonly pvcNames?: readonly string[];
    /** Newer servers count it; left out, the fingerprint is that of KFP 2.17 and before. */
    readonly env?: readonly { readonly name: string; readonly value: string }[];
  };
}

/**
 * The fingerprint under which a KFP server looks a task up in its cache, bit for bit: sha256 of the key's JSON as Go writes it. KFP also
 * compares the name of the pipeline and the namespace.
 * @throws TypeError for a number that is none.
 */
export function kfpFingerprint(key: KfpCacheKey): string {
  const { image, cmdArgs, pvcNames = [], env = [] } = key.container;
  const containerSpec = present({
    image,
    cmdArgs,
    pvcNames: [...new Set(pvcNames)].sort(byCodePoint),
    env: env.map(present),
  });
  return digestOfText(
    goJson({
      ...present({
        inputArtifactNames: mapOf(key.inputArtifactNames, (artifactNames) => present({ artifactNames })),
        inputParameterValues: key.inputParameterValues,
        outputArtifactsSpec: mapOf(key.outputArtifactsSpec, artifactJson),
        outputParametersSpec: key.outputParametersSpec,
      }),
      containerSpec,
    }),
  );
}

/** A custom `cacheKey` of a component takes the place of everything else. */
export function kfpCustomFingerprint(componentName: string, cacheKey: string): string {
  return digestOfText(`${componentName}\0${cacheKey}`);
}

/** A member of a oneof and a message that is there are written also where they are empty. */
function artifactJson({ name, type, metadata }: KfpArtifactSpec): Json {
  const { schemaVersion, ...schema } = type ?? {};
  return {
    ...present({ name }),
    ...(type && { type: { ...known(schema), ...present({ schemaVersion }) } }),
    ...(metadata && { metadata }),
  };
}

interface Members {
  readonly [name: string]: Json | undefined;
}

/** Protobuf's JSON leaves out what is not set, empty texts, empty lists and empty maps. */
function present(members: Members): { readonly [name: string]: Json } {
  return Object.fromEntries(Object.entries(known(members)).filter(([, value]) => !isEmpty(value)));
}

function known(members: Members): { readonly [name: string]: Json } {
  return Object.fromEntries(
    Object.entries(members).filter((member): member is [string, Json] => member[1] !== undefined),
  );
}

function isEmpty(value: Json): boolean {
  return value === '' || (typeof value === 'object' && value !== null && Object.keys(value).length === 0);
}

function mapOf<T>(of: { readonly [name: string]: T }, write: (value: T) => Json): Json {
  return Object.fromEntries(Object.entries(of).map(([name, value]) => [name, write(value)]));
}

/** What Go's `encoding/json` writes: keys by their bytes, and nothing that HTML or JavaScript would read. */
function goJson(value: Json | undefined): string {
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'string') return goText(value);
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw new TypeError(`${value} is no number that KFP takes`);
    return Object.is(value, -0) ? '-0' : String(value);
  }
  if (isList(value)) return `[${value.map(goJson).join(',')}]`;
  const members = Object.entries(value ?? {}).sort(([a], [b]) => byCodePoint(a, b));
  return `{${members.map(([name, member]) => `${goText(name)}:${goJson(member)}`).join(',')}}`;
}

function goText(text: string): string {
  const wellFormed = text.replace(
    /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g,
    '\ufffd',
  );
  return JSON.stringify(wellFormed).replace(
    /[<>&\u2028\u2029]/g,
    (found) => `\\u${found.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** The order of their UTF-8 bytes. */
function byCodePoint(a: string, b: string): number {
  const [left, right] = [Array.from(a), Array.from(b)];
  for (const [at, unit] of left.entries()) {
    const difference = (unit.codePointAt(0) ?? 0) - (right[at]?.codePointAt(0) ?? -1);
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}

function isList(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value);
}
