import type { ChampionInfo } from '../core/activities.js';
import type { ArtifactRef } from '../core/artifacts.js';
import { parseDuration } from '../core/duration.js';
import { isFailureCode, type FailureCode } from '../core/failures.js';
import type { Json } from '../core/json.js';
import type { SecretRef } from '../core/step.js';
import { handled } from './handled.js';
import { currentRuntime, type ApprovalOptions, type Approved, type Message } from './runtime.js';
import type { AnyParameter, ValuesOf } from './slots.js';

/** Waits, durably: a sleep of a year costs nothing and survives every restart. @param duration such as `'30s'` or `'3d'`. */
export function sleep(duration: string): Promise<void> {
  return handled(currentRuntime('sleep()').sleep(parseDuration(duration)));
}

/** The time, recorded: the same when the run is taken up again. Use it instead of `new Date()`. */
export function now(): Date {
  return new Date(currentRuntime('now()').now());
}

/** A number from 0 up to 1, recorded. Use it instead of `Math.random()`. */
export function random(): number {
  return currentRuntime('random()').random();
}

/**
 * Pins a dataset that others keep: a file at `s3://BUCKET/KEY`, `https://` or `file:///`, or everything below `s3://BUCKET/PREFIX/` or a
 * directory. Every step that gets it, and every retry, reads the bytes that are there now, or fails with `InputChanged`. Nothing is copied.
 * @param name as the run shows it.
 * @throws a failure with code `InvalidInput` where nothing is there.
 */
export function pinDataset(
  name: string,
  options: { readonly uri: string },
): Promise<ArtifactRef<'Dataset', object>> {
  return handled(currentRuntime('pinDataset()').pinDataset(name, options.uri));
}

/**
 * Waits until people have decided on `subject`. A decision carries the digest of what was seen; one for another digest is refused.
 * Waiting costs nothing, however long it takes.
 * @returns who approved, and the values of the form.
 * @throws a failure with code `ApprovalRejected` or `ApprovalExpired` (see {@link failureCode}), or `InvalidInput` where it names
 * people that anneal.yaml does not list.
 */
export function approval<const F extends { readonly [name: string]: AnyParameter } = Record<never, never>>(
  gate: string,
  options: ApprovalOptions<F>,
): Promise<Approved<ValuesOf<F>>> {
  return handled(askForApproval(gate, options));
}

// Not async, as it may be open for days: Temporal's sandbox keeps a stack trace for each promise.
function askForApproval<F extends { readonly [name: string]: AnyParameter }>(
  gate: string,
  { form, ...options }: ApprovalOptions<F>,
): Promise<Approved<ValuesOf<F>>> {
  try {
    const schemas = Object.entries(form ?? {}).map(([name, { schema }]) => [name, schema] as const);
    const request = { ...options, form: Object.fromEntries(schemas) };
    return currentRuntime('approval()').approval(gate, request) as Promise<Approved<ValuesOf<F>>>;
  } catch (error) {
    return Promise.reject(error instanceof Error ? error : new Error(String(error)));
  }
}

/** Registers exactly the bytes of a Model artifact as a version; the same model of the same run gives the same version. */
export function registerModel(options: Registration): Promise<Promoted> {
  return handled(registerAndPromote(options));
}

/** What {@link registerModel} takes. */
export interface Registration {
  readonly name: string;
  readonly model: ArtifactRef<'Model'>;
  readonly metrics?: ArtifactRef<'Metrics'>;
  readonly tags?: { readonly [name: string]: string };
  /** Move this alias to the new version. */
  readonly alias?: string;
}

/** A version, and the one that its alias pointed at before. */
export interface Promoted {
  readonly version: number;
  readonly replaced?: number;
}

async function registerAndPromote({ alias, ...registration }: Registration): Promise<Promoted> {
  const { version } = await currentRuntime('registerModel()').registerModel(registration);
  if (alias === undefined) return { version: Number(version) };
  return await promote({ name: registration.name, version: Number(version), alias });
}

/** Moves an alias (default `champion`) to a version. Answers with the version that it pointed at before. */
export function promote(options: {
  readonly name: string;
  readonly version: number;
  readonly alias?: string;
}): Promise<Promoted> {
  return handled(moveAlias(options.name, options.version, options.alias ?? 'champion'));
}

async function moveAlias(name: string, version: number, alias: string): Promise<Promoted> {
  const { replaced } = await currentRuntime('promote()').promote(name, String(version), alias);
  return { version, ...(replaced === undefined ? {} : { replaced: Number(replaced) }) };
}

/**
 * Moves an alias (default `champion`) back to the version that it pointed at before; again and again, as far as it remembers (50 versions).
 * What was demoted comes back. @throws a failure with code `InvalidInput` where there is nothing before.
 */
export function rollback(options: { readonly name: string; readonly alias?: string }): Promise<Promoted> {
  return handled(moveBack(options.name, options.alias ?? 'champion'));
}

async function moveBack(name: string, alias: string): Promise<Promoted> {
  const { version, replaced } = await currentRuntime('rollback()').rollback(name, alias);
  return { version: Number(version), ...(replaced === undefined ? {} : { replaced: Number(replaced) }) };
}

/**
 * Removes an alias (default `champion`). Answers with the version that it pointed at; {@link rollback} brings it back.
 * @throws a failure with code `InvalidInput` where the alias is not set.
 */
export function demote(options: {
  readonly name: string;
  readonly alias?: string;
}): Promise<{ readonly replaced: number }> {
  return handled(removeAlias(options.name, options.alias ?? 'champion'));
}

async function removeAlias(name: string, alias: string): Promise<{ readonly replaced: number }> {
  const { version } = await currentRuntime('demote()').demote(name, alias);
  return { replaced: Number(version) };
}

/** The version behind an alias (default `champion`) and its metrics, or null when there is none. */
export function champion(name: string, alias = 'champion'): Promise<ChampionInfo | null> {
  return handled(currentRuntime('champion()').champion(name, alias));
}

/** Tells people. A channel that is down never fails the run. */
export function notify(message: Message): Promise<void> {
  return handled(currentRuntime('notify()').notify(message));
}

/** Runs what must happen also when the run was cancelled: put it into `finally`. */
export function cleanup<T>(fn: () => Promise<T>): Promise<T> {
  return handled(currentRuntime('cleanup()').cleanup(fn));
}

/** Writes a line to the run's worker log; a run that continues as new writes it again. */
export function log(message: string, fields: { readonly [name: string]: Json } = {}): void {
  currentRuntime('log()').log(message, fields);
}

/** A reference to a secret, resolved where the step runs; its value never reaches the history. */
export function secret(name: string, key: string): SecretRef {
  return { secret: { name, key } };
}

/** The code of a failure caught in a pipeline, such as `StepFailed`; undefined for other errors and for cancellation. */
export function failureCode(error: unknown): FailureCode | undefined {
  if (typeof error !== 'object' || error === null) return undefined;
  const { type, cause } = error as { type?: unknown; cause?: unknown };
  if (typeof type === 'string' && isFailureCode(type)) return type;
  return cause === undefined ? undefined : failureCode(cause);
}
