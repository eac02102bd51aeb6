import type { ArtifactKind, LineageArtifact } from '../core/artifacts.js';
import type { IndexedVersion, LineageStep } from '../core/lineage.js';
import { TAGS } from '../core/registry.js';

/** One thing that lineage knows. `id` is unique in an answer, and that of a version, an artifact or a run can be asked for again. */
export type LineageNode = VersionNode | ArtifactNode | StepNode | RunNode | MissingNode;

/** A version of a registered model. */
export interface VersionNode extends Omit<IndexedVersion, 'tags'> {
  readonly kind: 'version';
  readonly id: string;
  /** The run that registered it. */
  readonly runId?: string;
  /** The attempt that wrote its bytes, which may be one of another run. */
  readonly producer?: { readonly executionId: string; readonly attemptName: string };
}

/** Bytes that a step made or used, by their digest. */
export interface ArtifactNode {
  readonly kind: 'artifact';
  readonly id: string;
  readonly digest: string;
  /** Absent where no record tells more than the digest. */
  readonly artifactKind?: ArtifactKind;
  readonly uri?: string;
  readonly sizeBytes?: number;
  /** Of data that others keep: where a run pinned it. */
  readonly source?: string;
}

/** An attempt of a step that succeeded. */
export interface StepNode extends Omit<LineageStep, 'version' | 'inputs' | 'outputs'> {
  readonly kind: 'step';
  readonly id: string;
}

/** A run, as a whole. */
export interface RunNode {
  readonly kind: 'run';
  readonly id: string;
  readonly runId: string;
  readonly executionId: string;
  readonly pipeline: string;
}

/** Something that others lead to, and of which nothing is known. */
export interface MissingNode {
  readonly kind: 'missing';
  readonly id: string;
  readonly reason: string;
}

/** How two nodes belong together; edges go with the data, from where it comes from to where it went. */
export interface LineageEdge {
  readonly from: string;
  readonly to: string;
  /** `used`: artifact to step. `made`: step to artifact. `registered`: artifact to version. `reused`: step to a run that took its result from the cache. `part-of`: step to its run. */
  readonly as: 'used' | 'made' | 'registered' | 'reused' | 'part-of';
  /** Of the input or output. */
  readonly name?: string;
}

/** Nodes and edges as they are found; each once. */
export interface LineageGraph {
  readonly nodes: Map<string, LineageNode>;
  readonly edges: Map<string, LineageEdge>;
}

/** The node of an artifact of a step. */
export function artifactNode({ kind, ...artifact }: LineageArtifact): ArtifactNode {
  return { kind: 'artifact', id: `artifact:${artifact.digest}`, artifactKind: kind, ...artifact };
}

/** The node of an attempt. */
export function stepNode(record: LineageStep): StepNode {
  const { version: _version, inputs: _inputs, outputs: _outputs, ...step } = record;
  return { kind: 'step', id: stepId(record), ...step };
}

/** Id of the node of an attempt. */
export function stepId(of: Pick<LineageStep, 'executionId' | 'attemptName'>): string {
  return `step:${of.executionId}/${of.attemptName}`;
}

/** The node of a model version. */
export function versionNode({ tags, ...version }: IndexedVersion): VersionNode {
  const runId = tags[TAGS.runId];
  const executionId = tags[TAGS.madeByExecution];
  const attemptName = tags[TAGS.madeByAttempt];
  return {
    kind: 'version',
    id: `model:${version.modelName}/${version.version}`,
    ...version,
    ...(runId === undefined ? {} : { runId }),
    ...(executionId === undefined || attemptName === undefined
      ? {}
      : { producer: { executionId, attemptName } }),
  };
}

/** Adds an edge once. */
export function connect(graph: LineageGraph, edge: LineageEdge): void {
  graph.edges.set(`${edge.from} ${edge.to} ${edge.as} ${edge.name ?? ''}`, edge);
}
