import { storeKeys, type ArtifactStore } from '../core/artifact-store.js';
import { AnnealError } from '../core/failures.js';
import type { Routing } from './current-build.js';

/** The part of a store that says which builds a project's workers host. */
export type DeploymentStore = Pick<ArtifactStore, 'putBytes' | 'readBytes' | 'list' | 'remove'>;

/** A project's part of a store. */
export interface DeploymentPlace {
  readonly store: DeploymentStore;
  readonly project: string;
}

/** What the store says of a project's builds. */
export interface Deployments {
  /** Undefined before the first deployment. */
  readonly routing?: Routing;
  /** Digests of builds that are to be hosted although new runs do not use them. */
  readonly wanted: readonly string[];
}

/** One deployment, as it is kept. */
interface RoutingRecord extends Routing {
  readonly version: 1;
  readonly atMs: number;
  readonly by?: string;
}

/** A build that somebody wants to try is hosted for so long after it was last asked for; from then on as long as it has open runs. */
export const WANTED_MS = 15 * 60_000;
/** Deployments that are kept. */
const KEPT = 50;
const ATTEMPTS = 20;

/** Which builds workers are to host: one list, and what it names as newest. */
export async function readDeployments(
  { store, project }: DeploymentPlace,
  nowMs: number,
): Promise<Deployments> {
  const routings: string[] = [];
  const wanted: string[] = [];
  for await (const { key, modifiedAtMs } of store.list(`deployments/${project}/`)) {
    if (key.startsWith(storeKeys.routing(project))) routings.push(key);
    else if (modifiedAtMs > nowMs - WANTED_MS) wanted.push(digestOfKey(key));
  }
  const newest = routings.at(-1);
  const routing = newest === undefined ? undefined : await readRecord(store, newest);
  return { ...(routing && { routing }), wanted };
}

/**
 * Changes what new runs use. Each change is an object of its own number, which one writer gets: of two at once both are kept, and the later
 * one was made knowing the earlier.
 * @throws AnnealError StoreUnavailable where others are always faster.
 */
export async function changeRouting(
  { store, project }: DeploymentPlace,
  change: (before: Routing | undefined) => Routing,
  { nowMs, by }: { readonly nowMs: number; readonly by?: string },
): Promise<Routing> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const keys: string[] = [];
    for await (const { key } of store.list(storeKeys.routing(project))) keys.push(key);
    const last = keys.at(-1);
    const before = last === undefined ? undefined : await readRecord(store, last);
    const routing = change(before);
    const record: RoutingRecord = {
      version: 1,
      ...routing,
      atMs: nowMs,
      ...(by === undefined ? {} : { by }),
    };
    const bytes = Buffer.from(`${JSON.stringify(record)}\n`);
    const key = routingKey(project, numberOf(last) + 1);
    if ((await store.putBytes(key, bytes, { ifAbsent: true })) === 'exists') continue;
    await store.remove(keys.slice(0, -KEPT));
    return routing;
  }
  throw new AnnealError(
    'StoreUnavailable',
    `${ATTEMPTS} other deployments of project "${project}" came in between. Repeat the command.`,
  );
}

/** Asks the project's workers to host a build for {@link WANTED_MS}, and forgets those that were asked for long ago. */
export async function wantBuild(
  { store, project }: DeploymentPlace,
  digest: string,
  nowMs: number,
): Promise<void> {
  const prefix = storeKeys.wantedBuilds(project);
  await store.putBytes(
    `${prefix}${digest}.json`,
    Buffer.from(`${JSON.stringify({ version: 1, atMs: nowMs })}\n`),
  );
  const old: string[] = [];
  for await (const { key, modifiedAtMs } of store.list(prefix))
    if (modifiedAtMs < nowMs - 4 * WANTED_MS) old.push(key);
  await store.remove(old);
}

/** What is found under a key that was just listed, unless it was removed in between. */
async function readRecord(store: DeploymentStore, key: string): Promise<Routing | undefined> {
  const bytes = await store.readBytes(key);
  if (bytes === undefined) return undefined;
  const { current, ramp, previous } = JSON.parse(new TextDecoder().decode(bytes)) as RoutingRecord;
  return { current, ...(ramp && { ramp }), ...(previous === undefined ? {} : { previous }) };
}

function routingKey(project: string, number: number): string {
  return `${storeKeys.routing(project)}${String(number).padStart(8, '0')}.json`;
}

function numberOf(key: string | undefined): number {
  return Number(/(\d{8})\.json$/.exec(key ?? '')?.[1] ?? 0);
}

function digestOfKey(key: string): string {
  return key.slice(key.lastIndexOf('/') + 1).replace(/\.json$/, '');
}
