import type { AttemptExecutor } from '../activities/ports/executor.js';
import type { ArtifactRef, MetricValues } from '../core/artifacts.js';
import type { AttemptRequest } from '../core/attempt.js';
import { digestOfText } from '../core/digest.js';

/** Runs nothing and succeeds at once with made-up outputs: for measuring what Anneal itself costs, and for dry runs. */
export function createNoopExecutor(clock: { readonly nowMs: () => number }): AttemptExecutor {
  return {
    run: ({ request, name }) => {
      const at = clock.nowMs();
      return Promise.resolve({
        kind: 'succeeded',
        attemptName: name,
        outputs: madeUpOutputs(request, name),
        parameters: {},
        startedAtMs: at,
        endedAtMs: at,
      });
    },
    end: () => Promise.resolve(),
    find: () => Promise.resolve(undefined),
  };
}

function madeUpOutputs(request: AttemptRequest, name: string): { readonly [output: string]: ArtifactRef } {
  const refs: { [output: string]: ArtifactRef } = {};
  for (const [output, schema] of Object.entries(request.outputs)) {
    if (schema.type !== 'artifact') continue;
    const values: MetricValues = Object.fromEntries(
      Object.entries(schema.metrics ?? {}).map(([metric, type]) => [metric, type === 'number' ? 0 : '']),
    );
    refs[output] = {
      kind: schema.kind,
      uri: `noop:///${name}/${output}`,
      digest: digestOfText(`${request.callId}/${output}`),
      sizeBytes: 0,
      form: 'file',
      values,
    };
  }
  return refs;
}
