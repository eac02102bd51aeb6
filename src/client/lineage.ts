import { AnnealError } from '../core/failures.js';
import type { ClientDeps } from './client-deps.js';
import type { LineageEdge, LineageNode } from './lineage-graph.js';
import type { LineageStore } from './lineage-index.js';
import { repairIndex, type LineageRepair } from './lineage-repair.js';
import { findSubject, parseSubject } from './lineage-subject.js';
import { walk, type Walk } from './lineage-walk.js';

/** How far lineage is looked at, and in which direction. */
export interface LineageOptions {
  /** `back`: what it was made of. `forward`: what came of it. Default: of a model back, of a data set forward, else both. */
  readonly direction?: 'back' | 'forward' | 'both';
  /** Nodes at most. Default 200, at most 5,000. */
  readonly limit?: number;
  /** Go on behind here: `next` of an entry of {@link Lineage.more}, for the same artifact or run. */
  readonly after?: string;
}

/** Where something comes from and what came of it: a graph without circles. */
export interface Lineage {
  /** Ids of the nodes that were asked of. */
  readonly subjects: readonly string[];
  /** Ids of the nodes from which it was looked back, and forward; empty where it was not. */
  readonly back: readonly string[];
  readonly forward: readonly string[];
  readonly nodes: readonly LineageNode[];
  readonly edges: readonly LineageEdge[];
  /** Nodes of which not everything was looked at. `next` is where to go on; without it, ask of the node itself. */
  readonly more: readonly { readonly id: string; readonly next?: string }[];
  /** Sentences about what is missing. */
  readonly notices: readonly string[];
}

const LIMIT = 200;
const HIGHEST_LIMIT = 5_000;

/**
 * Traces a model (`model:NAME@ALIAS`, `model:NAME/VERSION`), a run (`run:ID`), an artifact (`artifact:DIGEST`, 8 hex digits of it at least)
 * or data (`dataset:URI`, `dataset:DIGEST`) by the records that steps left in the store, so also of runs that Temporal has forgotten.
 * @throws AnnealError InvalidInput, RunNotFound, StoreUnavailable; TrackingUnavailable where a model is asked of and MLflow is away.
 */
export async function traceLineage(
  deps: ClientDeps,
  text: string,
  { direction, limit = LIMIT, after }: LineageOptions = {},
): Promise<Lineage> {
  const subject = parseSubject(text);
  if (!Number.isInteger(limit) || limit < 1 || limit > HIGHEST_LIMIT)
    throw new AnnealError(
      'InvalidInput',
      `The limit must be a whole number from 1 to ${HIGHEST_LIMIT}; it is ${limit}.`,
    );
  const walking: Walk = {
    store: requireStore(deps),
    ...(deps.models && { models: deps.models }),
    graph: { nodes: new Map(), edges: new Map() },
    limit,
    ...(after === undefined ? {} : { after }),
    notices: new Set(),
    more: new Map(),
  };
  const { kind, subjects, starts } = await findSubject(deps, walking, subject);
  const way = direction ?? DEFAULT_DIRECTION[kind];
  if (way !== 'forward') await walk(walking, starts, 'back');
  if (way !== 'back') await walk(walking, starts, 'forward');
  const ids = starts.map(({ id }) => id);
  return {
    subjects: subjects.map(({ id }) => id),
    back: way === 'forward' ? [] : ids,
    forward: way === 'back' ? [] : ids,
    nodes: [...walking.graph.nodes.values()],
    edges: [...walking.graph.edges.values()],
    more: [...walking.more].map(([id, next]) => ({ id, ...(next === undefined ? {} : { next }) })),
    notices: [...walking.notices],
  };
}

/** Makes records of lineage again that a power failure took. @throws AnnealError StoreUnavailable. */
export async function repairLineage({ store, readCode, clock }: ClientDeps): Promise<LineageRepair> {
  if (!store?.list || !store.putBytes) throw withoutStore();
  const { readBytes, list, putBytes } = store;
  return await repairIndex({ store: { readBytes, list, putBytes }, readCode, clock });
}

const DEFAULT_DIRECTION = { model: 'back', dataset: 'forward', artifact: 'both', run: 'both' } as const;

function requireStore({ store }: ClientDeps): LineageStore {
  if (store?.list) return { readBytes: readOnce(store.readBytes), list: store.list };
  throw withoutStore();
}

function withoutStore(): AnnealError {
  return new AnnealError(
    'InvalidConfig',
    'This client was made without the artifact store, where lineage is. Pass the whole store to createAnnealClient.',
  );
}

/** A record is looked at from both of its sides. */
function readOnce(read: LineageStore['readBytes']): LineageStore['readBytes'] {
  const reads = new Map<string, ReturnType<LineageStore['readBytes']>>();
  return async (key) => {
    const known = reads.get(key) ?? read(key);
    reads.set(key, known);
    return await known;
  };
}
