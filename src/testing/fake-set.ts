import type { Json } from '../core/json.js';
import type { Behave, Fake, FakeCall } from './fakes.js';

type FakeOf<K extends Fake['kind']> = Extract<Fake, { readonly kind: K }>;

/** The fakes of one test, by kind and name. */
export interface FakeSet {
  step(name: string): Behave<FakeCall<never>> | undefined;
  task(name: string): Behave<Json> | undefined;
  pipeline(name: string): Behave<{ readonly [name: string]: Json }> | undefined;
}

/** @throws TypeError for two fakes of one thing: which of them would count? */
export function createFakeSet(fakes: readonly Fake[]): FakeSet {
  const byName = new Map<string, Fake>();
  for (const fake of fakes) {
    const key = `${fake.kind} "${fake.name}"`;
    if (byName.has(key))
      throw new TypeError(`There are two fakes of ${key}; give one, with a function where calls differ.`);
    byName.set(key, fake);
  }
  const find = <K extends Fake['kind']>(kind: K, name: string) =>
    byName.get(`${kind} "${name}"`) as FakeOf<K> | undefined;
  return {
    step: (name) => find('step', name)?.behave,
    task: (name) => find('task', name)?.behave,
    pipeline: (name) => find('pipeline', name)?.behave,
  };
}
