import { CancellationScope, sleep } from '@temporalio/workflow';
import { canonicalJson, type Json } from '../core/json.js';
import { toFailure, toRunFailure } from './failures.js';
import type { RunContext } from './run-context.js';

/** What came of a run. */
export type End = { readonly result: Json | undefined } | { readonly error: Error };

/**
 * Runs a pipeline's code to the end of this execution: that of the run, or where it continues as new. Each promise that is open while the
 * run waits holds a stack trace in memory, so there is none here that can be done without.
 * @param code `prepare`: what comes first, in the same scope; `reruns`: the code runs again, from what is recorded.
 */
export function untilEnd(
  context: RunContext,
  scope: CancellationScope,
  code: {
    readonly prepare: () => Promise<void>;
    readonly run: () => Promise<unknown>;
    readonly reruns: boolean;
  },
): Promise<End | 'continue'> {
  return new Promise((resolve) => {
    const fail = (error: unknown) => resolve({ error: toRunFailure(error) });
    context.onContinue(() => resolve('continue'));
    context.budget.onExceeded((error) => resolve({ error }));
    if (code.reruns) watchDivergence(context, resolve).catch(fail);
    const begin = async () => {
      await code.prepare();
      code.run().then((result) => resolve(endOf(result)), fail);
    };
    scope.run(begin).catch(fail);
  });
}

function endOf(result: unknown): End {
  try {
    return { result: toResult(result) };
  } catch (error) {
    return { error: toRunFailure(error) };
  }
}

/** A pipeline's result. @throws a failure for what JSON cannot carry. */
function toResult(result: unknown): Json | undefined {
  if (result === undefined) return undefined;
  try {
    return JSON.parse(canonicalJson(result)) as Json;
  } catch (error) {
    throw toFailure(
      'PipelineError',
      `The result of the pipeline cannot be kept: ${error instanceof Error ? error.message : String(error)}. Return plain JSON.`,
    );
  }
}

/** Ends a re-run that asks for something new while recorded answers are left that it does not ask for: it took another way. */
async function watchDivergence(context: RunContext, end: (end: End) => void): Promise<void> {
  if (context.player.isLive()) return;
  await CancellationScope.nonCancellable(
    async () => await sleep(1, { summary: 'all recorded answers are given' }),
  );
  const missing = context.player.nextUnasked();
  if (!context.player.isStuck() || !missing) return;
  const message = `The pipeline took another way when it was run again from its journal: it did not ask for "${missing.k.split('|')[0]}". Its code depends on something that is not recorded; use now() and random() of anneal.`;
  end({ error: toFailure('NotRepeatable', message) });
}
