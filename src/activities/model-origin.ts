import type { ArtifactStore } from '../core/artifact-store.js';
import { storeKeys } from '../core/artifact-store.js';
import type { LineageReuse, LineageStep, producerOf } from '../core/lineage.js';
import { TAGS } from '../core/registry.js';

type Producer = NonNullable<ReturnType<typeof producerOf>>;
type Tags = { [name: string]: string };

/** Data sets that a version's tags name at most. */
const NAMED_DATASETS = 20;

/** What lineage recorded of an attempt; undefined where it has nothing, or nothing that can be read. */
export async function readLineageStep(
  store: Pick<ArtifactStore, 'readBytes'>,
  { executionId, attemptName }: Producer,
): Promise<LineageStep | undefined> {
  const bytes = await store.readBytes(storeKeys.lineageStep(executionId, attemptName));
  if (bytes === undefined) return undefined;
  try {
    const record = JSON.parse(new TextDecoder().decode(bytes)) as LineageStep | LineageReuse;
    return 'reused' in record ? undefined : record;
  } catch {
    return undefined;
  }
}

/** Tags of a version that lead to the attempt that wrote its bytes. */
export function buildProducerTags({ executionId, attemptName }: Producer): Tags {
  return { [TAGS.madeByExecution]: executionId, [TAGS.madeByAttempt]: attemptName };
}

/** Tags of a version that say from which code and data it was made, where people look at it: on its page in MLflow. */
export function buildOriginTags(made: LineageStep): Tags {
  const { code, inputs, tracking } = made;
  const datasets = Object.entries(inputs)
    .filter(([, { kind }]) => kind === 'Dataset')
    .slice(0, NAMED_DATASETS)
    .flatMap(([name, { digest, source }]) => [
      [`anneal.dataset.${name}`, digest],
      ...(source === undefined ? [] : [[`anneal.dataset_source.${name}`, source]]),
    ]);
  const origin: { [name: string]: string | undefined } = {
    'anneal.made_by.run_id': made.runId,
    'anneal.made_by.step': made.step,
    'anneal.made_by.mlflow_run_id': tracking?.runId,
    'anneal.build': made.build,
    'anneal.code_digest': made.codeDigest,
    'anneal.python_digest': made.pythonDigest,
    'anneal.image': made.image,
    'anneal.git.commit': code?.commit,
    'anneal.git.branch': code?.branch,
    'anneal.git.dirty': code?.dirty === undefined ? undefined : String(code.dirty),
    ...(Object.fromEntries(datasets) as Tags),
  };
  return Object.fromEntries(
    Object.entries(origin).filter((tag): tag is [string, string] => tag[1] !== undefined),
  );
}

/** The same in words, as Markdown for the version's page: tags are a long list there, of which the first few are in sight. */
export function describeOrigin({ runId, step, codeDigest, code, inputs }: LineageStep): string {
  const changes = code?.dirty === true ? ' with changes' : '';
  const commit = code === undefined ? [] : [`commit ${quoted(code.commit.slice(0, SHORT))}${changes}`];
  const how = [`code ${quoted(codeDigest.slice(0, SHORT))}`, ...commit].join(', ');
  const datasets = Object.entries(inputs)
    .filter(([, { kind }]) => kind === 'Dataset')
    .slice(0, NAMED_DATASETS)
    .map(([name, { digest, source }]) => {
      const from = source === undefined ? '' : ` from ${quoted(source)}`;
      return `**${name}** ${quoted(digest.slice(0, SHORT))}${from}`;
    });
  const data = datasets.length === 0 ? '' : `\n\nData: ${datasets.join(', ')}.`;
  return `Made by step **${step}** of run ${quoted(runId)}: ${how}.${data}`;
}

/** Characters of a digest that people are shown. */
const SHORT = 12;

function quoted(text: string): string {
  return `\`${text.replaceAll('`', "'")}\``;
}
