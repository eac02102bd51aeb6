import type { ArtifactKind, ArtifactRef } from '../core/artifacts.js';
import type { Json } from '../core/json.js';
import type { ArtifactSchema, ParameterSchema } from '../core/schema.js';

/** A parameter of a pipeline or step: its schema, its TypeScript type, and whether a call may leave it out. */
export interface Parameter<T, Optional extends boolean> {
  readonly slot: 'parameter';
  readonly schema: ParameterSchema;
  readonly optional: Optional;
  /** Type only; never present. */
  readonly type?: T;
}

/** An artifact that a step takes or makes. */
export interface ArtifactSlot<K extends ArtifactKind, V> {
  readonly slot: 'artifact';
  readonly schema: ArtifactSchema & { readonly kind: K };
  /** Type only; never present. */
  readonly type?: V;
}

type StringSchema = Extract<ParameterSchema, { readonly type: 'string' }>;

/** Any parameter. */
export type AnyParameter = Parameter<unknown, boolean>;
/** Any artifact slot. */
export type AnyArtifactSlot = ArtifactSlot<ArtifactKind, unknown>;
/** Any input or output of a step. */
export type Slot = AnyParameter | AnyArtifactSlot;

/** The value behind a slot. */
export type ValueOf<S> = S extends {
  readonly slot: 'artifact';
  readonly schema: { readonly kind: infer K extends ArtifactKind };
  readonly type?: infer V;
}
  ? ArtifactRef<K, V>
  : S extends { readonly slot: 'parameter'; readonly type?: infer T }
    ? T
    : never;

/** The values behind a record of slots. */
export type ValuesOf<R> = { readonly [k in keyof R]: ValueOf<R[k]> };

type OptionalKeys<R> = { [k in keyof R]: R[k] extends { readonly optional: true } ? k : never }[keyof R];

/** What a call passes for a slot: an input of no special kind takes any artifact. */
type ArgumentOf<S> = S extends ArtifactSlot<'Artifact', unknown> ? ArtifactRef : ValueOf<S>;

/** What a call passes: parameters with a default may be left out. */
export type ArgumentsOf<R> = { readonly [k in Exclude<keyof R, OptionalKeys<R>>]: ArgumentOf<R[k]> } & {
  readonly [k in OptionalKeys<R>]?: ValueOf<R[k]>;
};

type HasDefault<O> = O extends { readonly default: string | number | boolean | object | null } ? true : false;

/** A text parameter. `oneOf` narrows its type; a default must be one of them. */
export function string<
  const U extends string = string,
  const D extends NoInfer<U> | undefined = undefined,
>(options?: {
  readonly oneOf?: readonly U[];
  readonly default?: D;
  readonly maxLength?: number;
  readonly description?: string;
}): Parameter<U, D extends string ? true : false> {
  return parameter({ type: 'string', ...(options as Omit<StringSchema, 'type'> | undefined) });
}

/** A number, finite. */
export function number<
  const O extends {
    readonly default?: number;
    readonly min?: number;
    readonly max?: number;
    readonly description?: string;
  } = object,
>(options?: O): Parameter<number, HasDefault<O>> {
  return parameter({ type: 'number', ...options });
}

/** A whole number. */
export function integer<
  const O extends {
    readonly default?: number;
    readonly min?: number;
    readonly max?: number;
    readonly description?: string;
  } = object,
>(options?: O): Parameter<number, HasDefault<O>> {
  return parameter({ type: 'number', integer: true, ...options });
}

/** `true` or `false`. */
export function boolean<
  const O extends { readonly default?: boolean; readonly description?: string } = object,
>(options?: O): Parameter<boolean, HasDefault<O>> {
  return parameter({ type: 'boolean', ...options });
}

/** Any JSON value; its type is the caller's word: `json<{ depth: number }>()`. */
export function json<T extends Json = Json>(options: {
  readonly default: T;
  readonly description?: string;
}): Parameter<T, true>;
export function json<T extends Json = Json>(options?: { readonly description?: string }): Parameter<T, false>;
export function json<T extends Json>(options?: {
  readonly default?: Json;
  readonly description?: string;
}): Parameter<T, boolean> {
  return parameter({ type: 'json', ...options });
}

/** A data set: a file or directory. */
export function dataset(): ArtifactSlot<'Dataset', object> {
  return artifactSlot('Dataset');
}

/** A model: an MLflow model directory, as `save_model` writes it. */
export function model(): ArtifactSlot<'Model', object> {
  return artifactSlot('Model');
}

/** A report for people: HTML or Markdown. */
export function report(): ArtifactSlot<'Report', object> {
  return artifactSlot('Report');
}

/** A file or directory of no special kind. */
export function artifact(): ArtifactSlot<'Artifact', object> {
  return artifactSlot('Artifact');
}

/** Metrics: one flat JSON file; the named values must be in it and reach the pipeline as `values`. */
export function metrics<
  const M extends { readonly [name: string]: 'number' | 'string' } = Record<never, never>,
>(values?: M): ArtifactSlot<'Metrics', { readonly [k in keyof M]: M[k] extends 'number' ? number : string }> {
  return { slot: 'artifact', schema: { type: 'artifact', kind: 'Metrics', metrics: values ?? {} } };
}

function parameter<T, Optional extends boolean>(schema: ParameterSchema): Parameter<T, Optional> {
  return { slot: 'parameter', schema, optional: (schema.default !== undefined) as Optional };
}

function artifactSlot<K extends ArtifactKind>(kind: K): ArtifactSlot<K, object> {
  return { slot: 'artifact', schema: { type: 'artifact', kind } };
}
