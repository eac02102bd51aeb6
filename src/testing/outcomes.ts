import { FAILURES, type FailureCode } from '../core/failures.js';

const OUTCOME = Symbol('anneal.testing.outcome');

/** How one attempt of a fake step, or one call of a fake sub-pipeline, ends. Made by {@link succeed} and {@link fail}. */
export interface FakeOutcome<T = unknown> {
  readonly [OUTCOME]: true;
  readonly outputs?: T;
  readonly failure?: { readonly code: FailureCode; readonly message?: string };
  /** Virtual time that it takes, such as `'2h'`. */
  readonly takes?: string;
}

/** Success with outputs; use it where an attempt takes virtual time: `succeed({ metrics: { f1: 0.9 } }, { takes: '2h' })`. */
export function succeed<T extends object>(
  outputs: T,
  options: { readonly takes?: string } = {},
): FakeOutcome<T> {
  return { [OUTCOME]: true, outputs, ...options };
}

/** Failure with a code of the failure table (docs/errors.md); whether it is retried follows from code and step as in a real run. */
export function fail(
  code: FailureCode,
  options: { readonly message?: string; readonly takes?: string } = {},
): FakeOutcome<never> {
  if (!Object.hasOwn(FAILURES, code))
    throw new TypeError(`"${code}" is not a failure code; these are: ${Object.keys(FAILURES).join(', ')}.`);
  const { message, takes } = options;
  return {
    [OUTCOME]: true,
    failure: { code, ...(message === undefined ? {} : { message }) },
    ...(takes === undefined ? {} : { takes }),
  };
}

/** Fails the first `times` attempts of each call, then succeeds with `outputs`. */
export function failTimes<const T extends object = object>(
  times: number,
  code: FailureCode,
  outputs?: T,
): (call: { readonly attempt: number }) => FakeOutcome<T> {
  const failure = fail(code);
  return ({ attempt }) => (attempt <= times ? failure : succeed(outputs ?? ({} as T)));
}

/** Whether a fake gave an outcome rather than plain outputs. */
export function isFakeOutcome(value: unknown): value is FakeOutcome {
  return typeof value === 'object' && value !== null && OUTCOME in value;
}
