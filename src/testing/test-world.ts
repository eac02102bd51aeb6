import { setMaxListeners } from 'node:events';
import type { Json } from '../core/json.js';
import type { Pool } from '../core/pools.js';
import { DecisionBook, type Decisions } from './decisions.js';
import { createFakeSet, type FakeSet } from './fake-set.js';
import type { Fake } from './fakes.js';
import { MadeUpRegistry, type ExistingModel } from './made-up-registry.js';
import { CallRecorder } from './recorded-calls.js';
import { VirtualClock } from './virtual-clock.js';

/** A message to people that the run sent. */
export interface SentMessage {
  /** `failure`: the mail of `notify.onFailure`. */
  readonly event: 'message' | 'failure';
  readonly to: readonly string[];
  readonly subject: string;
  readonly text: string;
}

/** A line that the run logged. */
export interface LoggedLine {
  readonly message: string;
  readonly fields: { readonly [name: string]: Json };
}

/** What a test says of everything around a pipeline. */
export interface WorldOptions {
  /** How steps, tasks and sub-pipelines behave. */
  readonly fakes?: readonly Fake[];
  /** What people decide, by gate. A gate without a decision waits until it expires. */
  readonly decisions?: Decisions;
  /** Model versions that exist before the run, by model name. */
  readonly models?: { readonly [name: string]: ExistingModel };
  /** Contents of pinned datasets by URI: a text that stands for them. Default: the URI, so that each has its own. */
  readonly datasets?: { readonly [uri: string]: string };
  /** Cancels the run after this virtual time. */
  readonly cancelAfter?: string;
  /** The run's pools; default: one that takes everything. */
  readonly pools?: readonly Pool[];
  /** When the run starts, for `now()`. Default 2026-01-01T00:00:00Z. */
  readonly startsAt?: string;
}

/** Everything around the pipelines of one test. */
export interface TestWorld {
  readonly clock: VirtualClock;
  readonly fakes: FakeSet;
  readonly decisions: DecisionBook;
  readonly registry: MadeUpRegistry;
  readonly datasets: { readonly [uri: string]: string };
  readonly recorder: CallRecorder;
  readonly notifications: SentMessage[];
  readonly logs: LoggedLine[];
  readonly pools: readonly Pool[] | undefined;
  readonly cancellation: AbortController;
  /** Numbers from 0 up to 1, the same in every test. */
  readonly random: () => number;
  /** Ends the test: it, not the pipeline, is wrong. */
  readonly misuse: (error: Error) => never;
  /** What {@link TestWorld.misuse} was first told. */
  readonly misused: () => Error | undefined;
}

/** Makes what surrounds the pipelines of one test. */
export function createTestWorld(options: WorldOptions): TestWorld {
  const startMs = Date.parse(options.startsAt ?? '2026-01-01T00:00:00Z');
  if (Number.isNaN(startMs))
    throw new TypeError(`startsAt is "${options.startsAt}"; write a time such as "2026-01-01T00:00:00Z".`);
  const clock = new VirtualClock(startMs);
  let misused: Error | undefined;
  const cancellation = new AbortController();
  setMaxListeners(0, cancellation.signal);
  return {
    clock,
    fakes: createFakeSet(options.fakes ?? []),
    decisions: new DecisionBook(options.decisions ?? {}),
    registry: new MadeUpRegistry(options.models ?? {}),
    datasets: options.datasets ?? {},
    recorder: new CallRecorder(() => clock.nowMs() - startMs),
    notifications: [],
    logs: [],
    pools: options.pools,
    cancellation,
    random: createRandom(),
    misuse: (error) => {
      misused ??= error;
      throw error;
    },
    misused: () => misused,
  };
}

/** Mulberry32 with a fixed seed: tests repeat. */
function createRandom(): () => number {
  let state = 0x5eed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
