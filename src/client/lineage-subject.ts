import { storeKeys } from '../core/artifact-store.js';
import { digestOfText } from '../core/digest.js';
import { AnnealError } from '../core/failures.js';
import { producerOf } from '../core/lineage.js';
import { toPathSegment } from '../core/run.js';
import type { ClientDeps } from './client-deps.js';
import { describeRun } from './describe-run.js';
import { artifactNode, connect, versionNode, type ArtifactNode, type LineageNode } from './lineage-graph.js';
import { findDigests, listAttempts, listNames, readJson, readStep } from './lineage-index.js';
import { addNode, addStep, type Walk } from './lineage-walk.js';

/** What lineage is asked of, read from its text. */
export type LineageSubject =
  | { readonly kind: 'model'; readonly modelName: string; readonly version: string }
  | { readonly kind: 'model'; readonly modelName: string; readonly alias: string }
  | { readonly kind: 'run'; readonly runId: string }
  | { readonly kind: 'artifact' | 'dataset'; readonly digest: string }
  | { readonly kind: 'artifact' | 'dataset'; readonly uri: string };

/** What was asked, as nodes. */
export interface FoundSubject {
  readonly kind: LineageSubject['kind'];
  /** What was asked for, for the heading. */
  readonly subjects: readonly LineageNode[];
  /** Where to look from, in both directions: of a run its steps. */
  readonly starts: readonly LineageNode[];
}

/** Digests of data at one URI, and executions of one run id, that are looked at: the last ones. */
const SHOWN = 50;

/** Reads what a person asks of. @throws AnnealError InvalidInput, with the forms that there are. */
export function parseSubject(text: string): LineageSubject {
  const [, kind = '', rest = ''] = /^(model|run|artifact|dataset):(.+)$/s.exec(text) ?? [];
  if (kind === 'run') return { kind, runId: rest };
  if (kind === 'model') {
    const [, modelName, mark, name] = /^(.+)([@/])([^@/]+)$/s.exec(rest) ?? [];
    if (modelName !== undefined && name !== undefined)
      return mark === '@' ? { kind, modelName, alias: name } : { kind, modelName, version: name };
  }
  if (kind === 'artifact' || kind === 'dataset') {
    if (/^[0-9a-f]{8,64}$/.test(rest)) return { kind, digest: rest };
    if (/^[a-z][a-z0-9+.-]*:\/\//i.test(rest)) return { kind, uri: rest };
  }
  throw new AnnealError(
    'InvalidInput',
    `Lineage is not known of "${text}". Ask of model:NAME@ALIAS, model:NAME/VERSION, run:ID, artifact:DIGEST (8 hex digits at least) or dataset:URI.`,
  );
}

/** Finds what was asked and adds it. @throws AnnealError InvalidInput, RunNotFound, TrackingUnavailable. */
export async function findSubject(
  deps: ClientDeps,
  walking: Walk,
  subject: LineageSubject,
): Promise<FoundSubject> {
  const found = await findNodes(deps, walking, subject);
  return { kind: subject.kind, ...found };
}

async function findNodes(
  deps: ClientDeps,
  walking: Walk,
  subject: LineageSubject,
): Promise<Omit<FoundSubject, 'kind'>> {
  if (subject.kind === 'model') return both([await findVersion(walking, subject)]);
  if (subject.kind === 'run') return await findRun(deps, walking, subject.runId);
  if ('digest' in subject) return both([await findArtifact(walking, subject.digest)]);
  return both(await findByUri(walking, subject.uri));
}

function both(nodes: readonly LineageNode[]): Omit<FoundSubject, 'kind'> {
  return { subjects: nodes, starts: nodes };
}

async function findVersion(
  walking: Walk,
  { modelName, ...which }: Extract<LineageSubject, { kind: 'model' }>,
): Promise<LineageNode> {
  if (walking.models === undefined)
    throw new AnnealError(
      'InvalidConfig',
      'Where a model comes from is asked of MLflow first, and the project has none. Start it with "anneal up", or set mlflow.uri in anneal.yaml.',
    );
  const [said, of] =
    'alias' in which
      ? [`alias "${which.alias}"`, { modelName, alias: which.alias }]
      : [`version "${which.version}"`, { modelName, version: which.version }];
  const version = await walking.models.find(of);
  if (version === null)
    throw new AnnealError('InvalidInput', `MLflow knows no model "${modelName}" with ${said}.`);
  return addNode(walking, versionNode(version));
}

/** The record of a run is the server's; without it, what its steps left in the store. */
async function findRun(deps: ClientDeps, walking: Walk, runId: string): Promise<Omit<FoundSubject, 'kind'>> {
  const { store } = walking;
  const prefix = storeKeys.lineageRun(toPathSegment(runId));
  const known = (await listNames(store, prefix, { limit: SHOWN })).items;
  const executions =
    known.length > 0 ? known : [(await describeRun(deps, runId)).raw.workflowExecutionInfo?.firstRunId ?? ''];
  const starts: LineageNode[] = [];
  const subjects: LineageNode[] = [];
  for (const executionId of executions) {
    const kept = await readJson<{ pipeline: string }>(store, `${prefix}${executionId}.json`);
    const id = executions.length === 1 ? `run:${runId}` : `run:${runId}#${executionId}`;
    const run = { kind: 'run', id, runId, executionId, pipeline: kept?.pipeline ?? '' } as const;
    subjects.push(addNode<LineageNode>(walking, run));
    starts.push(...(await findSteps(walking, { id, executionId })));
  }
  if (starts.length === 0)
    walking.notices.add(
      `No step of run "${runId}" left a record: none succeeded, or they are older than lineage.`,
    );
  return { subjects, starts };
}

async function findSteps(
  walking: Walk,
  run: { readonly id: string; readonly executionId: string },
): Promise<LineageNode[]> {
  const { store, graph, limit } = walking;
  const page = await listNames(store, storeKeys.lineageSteps(run.executionId), {
    limit: Math.max(1, limit - graph.nodes.size),
    after: walking.after,
  });
  if (page.next !== undefined) walking.more.set(run.id, page.next);
  const found: LineageNode[] = [];
  for (const attemptName of page.items) {
    const own = { executionId: run.executionId, attemptName };
    const record = await readStep(store, own);
    const isReused = record !== undefined && 'reused' in record;
    const step = await addStep(
      walking,
      isReused ? { executionId: record.reused.executionId, attemptName } : own,
    );
    if (step === undefined) continue;
    connect(graph, { from: step.node.id, to: run.id, as: isReused ? 'reused' : 'part-of' });
    found.push(step.node);
  }
  return found.sort((a, b) => ('startedAtMs' in a && 'startedAtMs' in b ? a.startedAtMs - b.startedAtMs : 0));
}

/** Kind and place of an artifact are those that the first attempt that made or used it saw. */
async function findArtifact(walking: Walk, start: string): Promise<LineageNode> {
  const [digest, other] = await findDigests(walking.store, start);
  if (digest === undefined)
    throw new AnnealError(
      'InvalidInput',
      `No step is known that made or used an artifact of digest ${start}. Digests are shown by: anneal describe RUN`,
    );
  if (other !== undefined)
    throw new AnnealError(
      'InvalidInput',
      `More than one artifact's digest begins with ${start}. Give more of it.`,
    );
  const node = addNode<ArtifactNode>(walking, { kind: 'artifact', id: `artifact:${digest}`, digest });
  for (const role of ['made', 'used'] as const) {
    const [first] = (await listAttempts(walking.store, { digest, role, limit: 1 })).items;
    const record = first && (await readStep(walking.store, first));
    if (record === undefined || 'reused' in record) continue;
    const refs = Object.values(role === 'made' ? record.outputs : record.inputs);
    const ref = refs.find((candidate) => candidate.digest === digest);
    // Without its place, so that everybody who made the same bytes is found.
    if (ref) return addNode(walking, withoutPlace(artifactNode(ref), role));
  }
  return node;
}

function withoutPlace(node: ArtifactNode, role: 'made' | 'used'): ArtifactNode {
  if (role === 'used') return node;
  const { uri: _uri, ...rest } = node;
  return rest;
}

async function findByUri(walking: Walk, uri: string): Promise<LineageNode[]> {
  const producer = producerOf(uri);
  const step = producer && (await addStep(walking, producer));
  const output = producer && step?.record.outputs[producer.output];
  if (output) return [addNode(walking, artifactNode(output))];
  const prefix = storeKeys.lineageSource(digestOfText(uri));
  const { items } = await listNames(walking.store, prefix, { limit: SHOWN });
  if (items.length === 0)
    throw new AnnealError(
      'InvalidInput',
      `No step is known that used data at ${uri}. Only data that a run pinned, and outputs of steps, are known by their address.`,
    );
  return await Promise.all(items.map(async (digest) => await findArtifact(walking, digest)));
}
