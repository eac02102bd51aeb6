import { AnnealError } from '../core/failures.js';
import type { LineageArtifact } from '../core/artifacts.js';
import { producerOf, type LineageStep, type ModelIndex } from '../core/lineage.js';
import { TAGS } from '../core/registry.js';
import {
  artifactNode,
  connect,
  stepNode,
  versionNode,
  type ArtifactNode,
  type LineageGraph,
  type LineageNode,
  type StepNode,
  type VersionNode,
} from './lineage-graph.js';
import {
  listAttempts,
  listNames,
  readJson,
  readStep,
  type AttemptKey,
  type LineageStore,
} from './lineage-index.js';
import { storeKeys } from '../core/artifact-store.js';

/** Where lineage is read from, and what is found. */
export interface Walk {
  readonly store: LineageStore;
  /** Absent where the project has no MLflow. */
  readonly models?: ModelIndex;
  readonly graph: LineageGraph;
  /** Nodes at most. */
  readonly limit: number;
  /** Of the first artifact that is asked for: attempts behind this one. */
  readonly after?: string;
  /** What is not there, for people. */
  readonly notices: Set<string>;
  /** Nodes that lead to more than was looked at; the place to go on from, where there is one. */
  readonly more: Map<string, string | undefined>;
}

/** Nodes that are looked at together. */
const AT_ONCE = 8;
/** Attempts that made the same bytes, of which the origin is shown. */
const SHOWN_ORIGINS = 5;
/** Runs that reused a step's result, and versions of one artifact, that are shown. */
const SHOWN_USES = 50;

/** Looks at what a node leads to, in one direction, level by level, until there is nothing left or the limit is reached. */
export async function walk(
  walking: Walk,
  starts: readonly LineageNode[],
  direction: 'back' | 'forward',
): Promise<void> {
  const expand = direction === 'back' ? expandBack : expandForward;
  const seen = new Set(starts.map(({ id }) => id));
  let level = starts;
  for (let depth = 0; level.length > 0; depth += 1) {
    const next: LineageNode[] = [];
    for (let at = 0; at < level.length; at += AT_ONCE) {
      const nodes = level.slice(at, at + AT_ONCE);
      if (isFull(walking)) {
        leaveOut(walking, nodes);
        continue;
      }
      const found = await Promise.all(nodes.map(async (node) => await expand(walking, node, depth)));
      for (const node of found.flat()) {
        if (seen.has(node.id)) continue;
        seen.add(node.id);
        next.push(node);
      }
    }
    level = next;
  }
}

/** Says of nodes that they were not looked at. */
function leaveOut({ more }: Walk, nodes: readonly LineageNode[]): void {
  for (const { id } of nodes) if (!more.has(id)) more.set(id, undefined);
}

/** Adds a node once. @returns the one that is there. */
export function addNode<T extends LineageNode>({ graph }: Pick<Walk, 'graph'>, node: T): T {
  const known = graph.nodes.get(node.id);
  // A digest alone becomes an artifact that more is known of.
  if (known !== undefined && !(node.kind === 'artifact' && known.kind === 'artifact' && !known.uri))
    return known as T;
  graph.nodes.set(node.id, node);
  return node;
}

/** Reads an attempt's record and adds its node; undefined where it is missing, which is noted. */
export async function addStep(
  walking: Walk,
  key: AttemptKey,
): Promise<{ readonly node: StepNode; readonly record: LineageStep } | undefined> {
  const record = await readStep(walking.store, key);
  if (record !== undefined && !('reused' in record))
    return { node: addNode(walking, stepNode(record)), record };
  walking.notices.add(
    `The record of attempt ${key.attemptName} (execution ${key.executionId}) is missing: it was made by an earlier version of Anneal, or its record could not be written, or was removed. Try "anneal lineage --repair".`,
  );
  return undefined;
}

function isFull({ graph, limit }: Walk): boolean {
  return graph.nodes.size >= limit;
}

async function expandBack(walking: Walk, node: LineageNode): Promise<LineageNode[]> {
  switch (node.kind) {
    case 'version':
      return await originOfVersion(walking, node);
    case 'artifact':
      return await originOfArtifact(walking, node);
    case 'step':
      return await inputsOf(walking, node);
    case 'run':
    case 'missing':
      return [];
  }
}

/** The artifact, and where the registry says who wrote it, only that attempt. */
async function originOfVersion(walking: Walk, node: VersionNode): Promise<LineageNode[]> {
  const { digest, modelName, version } = node;
  if (digest === undefined) {
    walking.notices.add(
      `Version ${version} of model "${modelName}" was not registered by a pipeline of Anneal: it has no tag ${TAGS.digest}.`,
    );
    return [];
  }
  const artifact = addNode<ArtifactNode>(walking, {
    kind: 'artifact',
    id: `artifact:${digest}`,
    digest,
    artifactKind: 'Model',
  });
  connect(walking.graph, { from: artifact.id, to: node.id, as: 'registered' });
  const step = node.producer && (await addStep(walking, node.producer));
  if (step === undefined) return [artifact];
  connectOutput(walking, step, digest);
  return [walking.graph.nodes.get(artifact.id) ?? artifact];
}

async function originOfArtifact(walking: Walk, node: ArtifactNode): Promise<LineageNode[]> {
  if (node.source !== undefined) return [];
  const producer = node.uri === undefined ? undefined : producerOf(node.uri);
  const made =
    producer === undefined
      ? await listAttempts(walking.store, { digest: node.digest, role: 'made', limit: SHOWN_ORIGINS })
      : { items: [producer] };
  if (made.next !== undefined)
    walking.notices.add(
      `More than ${SHOWN_ORIGINS} attempts made artifact ${node.digest.slice(0, 12)}; the first ${SHOWN_ORIGINS} are shown.`,
    );
  const steps: LineageNode[] = [];
  for (const key of made.items) {
    const step = await addStep(walking, key);
    if (step === undefined) {
      steps.push(addMissing(walking, node, key));
      continue;
    }
    connectOutput(walking, step, node.digest);
    steps.push(step.node);
  }
  return steps;
}

function addMissing(walking: Walk, of: ArtifactNode, key: AttemptKey): LineageNode {
  const id = `step:${key.executionId}/${key.attemptName}`;
  const reason = `attempt ${key.attemptName}, of which no record is left`;
  const node = addNode<LineageNode>(walking, { kind: 'missing', id, reason });
  connect(walking.graph, { from: id, to: of.id, as: 'made' });
  return node;
}

function connectOutput(
  walking: Walk,
  { node, record }: { readonly node: StepNode; readonly record: LineageStep },
  digest: string,
): void {
  for (const [name, output] of Object.entries(record.outputs))
    if (output.digest === digest) {
      const artifact = addNode(walking, artifactNode(output));
      connect(walking.graph, { from: node.id, to: artifact.id, as: 'made', name });
    }
}

async function inputsOf(walking: Walk, node: StepNode): Promise<LineageNode[]> {
  const step = await addStep(walking, node);
  if (step === undefined) return [];
  return Object.entries(step.record.inputs).map(([name, input]) => {
    const artifact = addNode(walking, artifactNode(input));
    connect(walking.graph, { from: artifact.id, to: node.id, as: 'used', name });
    return artifact;
  });
}

async function expandForward(walking: Walk, node: LineageNode, depth: number): Promise<LineageNode[]> {
  if (node.kind === 'artifact') return await usesOf(walking, node, depth);
  if (node.kind === 'step') return await outputsOf(walking, node);
  return [];
}

async function usesOf(walking: Walk, node: ArtifactNode, depth: number): Promise<LineageNode[]> {
  const { graph, limit, after } = walking;
  const found: LineageNode[] = node.artifactKind === 'Model' ? await versionsOf(walking, node) : [];
  const uses = await listAttempts(walking.store, {
    digest: node.digest,
    role: 'used',
    limit: Math.max(1, limit - graph.nodes.size),
    ...(depth > 0 || after === undefined ? {} : { after }),
  });
  if (uses.next !== undefined) walking.more.set(node.id, uses.next);
  const steps = await Promise.all(uses.items.map(async (key) => await addStep(walking, key)));
  for (const step of steps) {
    if (step === undefined) continue;
    for (const [name, input] of Object.entries(step.record.inputs))
      if (input.digest === node.digest) connect(graph, { from: node.id, to: step.node.id, as: 'used', name });
    found.push(step.node);
  }
  return found;
}

async function versionsOf(walking: Walk, { digest, id }: ArtifactNode): Promise<LineageNode[]> {
  const versions = await askModels(walking, async (models) =>
    models.findByDigest({ digest, limit: SHOWN_USES }),
  );
  return (versions ?? []).map((version) => {
    const node = addNode(walking, versionNode(version));
    connect(walking.graph, { from: id, to: node.id, as: 'registered' });
    return node;
  });
}

/** Asks MLflow. Where that does not answer, the rest of lineage is told all the same. */
async function askModels<T>(
  { models, notices }: Walk,
  ask: (models: ModelIndex) => Promise<T>,
): Promise<T | undefined> {
  if (models === undefined) {
    notices.add('The project has no MLflow, so that models and aliases are not shown.');
    return undefined;
  }
  try {
    return await ask(models);
  } catch (error) {
    if (!(error instanceof AnnealError)) throw error;
    notices.add(`Models and aliases are not shown: ${error.message}`);
    return undefined;
  }
}

async function outputsOf(walking: Walk, node: StepNode): Promise<LineageNode[]> {
  const step = await addStep(walking, node);
  if (step === undefined) return [];
  await addReuse(walking, node);
  return Object.entries(step.record.outputs).map(([name, output]: [string, LineageArtifact]) => {
    const artifact = addNode(walking, artifactNode(output));
    connect(walking.graph, { from: node.id, to: artifact.id, as: 'made', name });
    return artifact;
  });
}

/** Runs that took the step's result from the cache; what they did with it is found from its artifacts. */
async function addReuse(walking: Walk, { executionId, attemptName, id }: StepNode): Promise<void> {
  const prefix = storeKeys.lineageReuse(executionId, attemptName);
  const { items, next } = await listNames(walking.store, prefix, { limit: SHOWN_USES });
  if (next !== undefined)
    walking.notices.add(
      `More than ${SHOWN_USES} runs reused the result of ${attemptName}; the first ${SHOWN_USES} are shown.`,
    );
  for (const name of items) {
    const run = await readJson<{ runId: string; pipeline: string }>(walking.store, `${prefix}${name}.json`);
    if (run === undefined) continue;
    const node = addNode(walking, { kind: 'run', id: `run:${run.runId}`, executionId: name, ...run });
    connect(walking.graph, { from: id, to: node.id, as: 'reused' });
  }
}
