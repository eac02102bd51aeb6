import type { Manifest } from '../core/artifacts.js';
import type { ArtifactStore } from '../core/artifact-store.js';
import { storeKeys } from '../core/artifact-store.js';
import type { AttemptRequest } from '../core/attempt.js';
import { producerOf } from '../core/lineage.js';
import type { TrackedDataset } from './ports/tracking.js';

/** The data sets that go into a step, for its tracked run, with their columns and rows where the step that made them could tell. */
export async function loadDatasets(
  store: Pick<ArtifactStore, 'readBytes'> | undefined,
  request: Pick<AttemptRequest, 'inputs' | 'outputs'>,
): Promise<TrackedDataset[]> {
  const datasets = Object.entries(request.inputs).filter(([, { kind }]) => kind === 'Dataset');
  return await Promise.all(
    datasets.map(async ([name, { digest, uri }]) => {
      const context = contextOf(name, request);
      const facts = store === undefined ? {} : await readTable(store, uri);
      return { name, digest, uri, ...facts, ...(context === undefined ? {} : { context }) };
    }),
  );
}

/** What the manifest shows of a table; nothing where it is gone, or no table. Tracking does without. */
async function readTable(
  store: Pick<ArtifactStore, 'readBytes'>,
  uri: string,
): Promise<Pick<TrackedDataset, 'columns' | 'rows'>> {
  const producer = producerOf(uri);
  if (producer === undefined) return {};
  const { executionId, attemptName, output } = producer;
  try {
    const bytes = await store.readBytes(storeKeys.manifest(executionId, attemptName));
    const text = new TextDecoder().decode(bytes ?? new Uint8Array());
    const preview = (JSON.parse(text) as Manifest).outputs[output]?.preview;
    if (preview?.type !== 'table') return {};
    const { columns, columnCount, rowCount, rowsAtLeast } = preview;
    return {
      ...(columnCount === undefined && { columns }),
      ...(rowsAtLeast === undefined && { rows: rowCount }),
    };
  } catch {
    return {};
  }
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
