import type { Json } from '../core/json.js';
import type { Resources, StepDefinition } from '../core/step.js';
import type { Step } from '../pipeline/define-step.js';
import type { Pipeline } from '../pipeline/define-pipeline.js';
import type { Task } from '../pipeline/define-task.js';
import type { AnyArtifactSlot, ArtifactSlot, ValueOf, ValuesOf } from '../pipeline/slots.js';
import type { FakeOutcome } from './outcomes.js';

/** What a fake gives for one output: metric values (those that the pipeline reads), a text that stands for the contents of any other artifact, or a parameter's value. */
export type FakeOutput<S> =
  S extends ArtifactSlot<'Metrics', infer V> ? Partial<V> : S extends AnyArtifactSlot ? string : ValueOf<S>;

/** What a fake gives: artifacts that are left out are made up; metrics and parameters that the pipeline reads must be there. */
export type FakeOutputs<O> = { readonly [k in keyof O]?: FakeOutput<O[k]> };

/** One attempt of a step as a fake sees it. */
export interface FakeCall<I> {
  /** Parameters and artifacts of the call, defaults filled in. */
  readonly inputs: ValuesOf<I>;
  /** Name of the call: the step's, or that of the call's options. */
  readonly name: string;
  /** From 1. */
  readonly attempt: number;
  /** Earlier calls of that step in this run. */
  readonly index: number;
  /** As asked, memory after escalations. */
  readonly resources: Resources;
}

/** How a fake step behaves: always the same outputs or outcome, or a function of the attempt. */
export type StepBehaviour<I, O> =
  | FakeOutputs<O>
  | FakeOutcome<FakeOutputs<O>>
  | ((
      call: FakeCall<I>,
    ) =>
      FakeOutputs<O> | FakeOutcome<FakeOutputs<O>> | Promise<FakeOutputs<O> | FakeOutcome<FakeOutputs<O>>>);

/** A fake as {@link runPipeline} takes it. */
export type Fake =
  | {
      readonly kind: 'step';
      readonly name: string;
      readonly definition: StepDefinition;
      readonly behave: Behave<FakeCall<never>>;
    }
  | { readonly kind: 'task'; readonly name: string; readonly behave: Behave<Json> }
  | {
      readonly kind: 'pipeline';
      readonly name: string;
      readonly behave: Behave<{ readonly [name: string]: Json }>;
    };

/** A fake's function, its types checked where the fake was made. */
export type Behave<C> = (call: C) => unknown;

/** Says how a step behaves in a test: `fakeStep(evaluateModel, { metrics: { f1: 0.95 } })`. Types come from the step's own declaration. */
export function fakeStep<I, O>(step: Step<I, O>, behaviour: StepBehaviour<I, O>): Fake {
  const behave = typeof behaviour === 'function' ? behaviour : () => behaviour;
  return {
    kind: 'step',
    name: step.stepName,
    definition: step.definition,
    behave: behave,
  };
}

/** Says how a task behaves in a test: its function itself, or another of the same type. One that throws is tried again as in a real run. */
export function fakeTask<F extends (input: never) => unknown>(
  task: Task<F>,
  fn: (...input: Parameters<F>) => Awaited<ReturnType<F>> | Promise<Awaited<ReturnType<F>>>,
): Fake {
  return { kind: 'task', name: task.taskName, behave: fn as Behave<Json> };
}

/** Replaces a sub-pipeline; one without a fake runs for real, with the same fakes. */
export function fakePipeline<P, R>(
  pipeline: Pipeline<P, R>,
  fn: (params: ValuesOf<P>) => R | FakeOutcome<never> | Promise<R | FakeOutcome<never>>,
): Fake {
  return {
    kind: 'pipeline',
    name: pipeline.pipelineName,
    behave: fn as Behave<{ readonly [name: string]: Json }>,
  };
}
