import type { AttemptRequest } from '../core/attempt.js';
import type { TrackedDataset } from './ports/tracking.js';

/** The data sets that go into a step, for its tracked run. */
export function buildDatasets(request: Pick<AttemptRequest, 'inputs' | 'outputs'>): TrackedDataset[] {
  return Object.entries(request.inputs).flatMap(([name, { kind, digest, uri }]) => {
    if (kind !== 'Dataset') return [];
    const context = contextOf(name, request);
    return [{ name, digest, uri, ...(context === undefined ? {} : { context }) }];
  });
}

/**
 * What a step uses a data set for: as the input's name says (`train`, `validationData`, `test-set`); else training where the step makes a
 * model, evaluation where it takes one.
 */
function contextOf(
  name: string,
  { inputs, outputs }: Pick<AttemptRequest, 'inputs' | 'outputs'>,
): TrackedDataset['context'] {
  const words = name.split(/[^A-Za-z]+|(?<=[a-z])(?=[A-Z])/).map((word) => word.toLowerCase());
  const named = words.map((word) => CONTEXTS[word]).find((context) => context !== undefined);
  if (named !== undefined) return named;
  if (Object.values(outputs).some((slot) => slot.type === 'artifact' && slot.kind === 'Model'))
    return 'training';
  return Object.values(inputs).some(({ kind }) => kind === 'Model') ? 'evaluation' : undefined;
}

const CONTEXTS: { readonly [word: string]: TrackedDataset['context'] } = {
  train: 'training',
  training: 'training',
  val: 'validation',
  valid: 'validation',
  validation: 'validation',
  test: 'testing',
  testing: 'testing',
  eval: 'evaluation',
  evaluation: 'evaluation',
  holdout: 'evaluation',
};
