import { randomUUID } from 'node:crypto';

/** An object of the API, as JSON has it. */
export interface ApiObject {
  apiVersion?: string;
  kind?: string;
  metadata: {
    name: string;
    namespace?: string;
    uid?: string;
    resourceVersion?: string;
    creationTimestamp?: string;
    deletionTimestamp?: string;
    labels?: { [name: string]: string };
    annotations?: { [name: string]: string };
    [field: string]: unknown;
  };
  [field: string]: unknown;
}

/** One change, as a watch tells it. */
export interface Change {
  readonly version: number;
  readonly resource: string;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly object: ApiObject;
}

/** The objects of a fake cluster, by resource such as `jobs`; every change has the next version of one counter, as in etcd. */
export function createApiState() {
  let version = 1_000;
  let forgotten = version;
  const changes: Change[] = [];
  const resources = new Map<string, Map<string, ApiObject>>();
  const listeners = new Set<(change: Change) => void>();

  const of = (resource: string) => {
    const found = resources.get(resource) ?? new Map<string, ApiObject>();
    resources.set(resource, found);
    return found;
  };
  const record = (type: Change['type'], resource: string, object: ApiObject) => {
    object.metadata.resourceVersion = String(++version);
    const change = { version, resource, type, object: structuredClone(object) };
    changes.push(change);
    for (const listener of listeners) listener(change);
  };

  return {
    get version() {
      return version;
    },
    list: (resource: string, matches: (object: ApiObject) => boolean) =>
      [...of(resource).values()].filter(matches),
    read: (resource: string, name: string) => of(resource).get(name),
    /** Creates or replaces; fills in what a server fills in. */
    put: (
      resource: string,
      given: Omit<ApiObject, 'metadata'> & { metadata: Partial<ApiObject['metadata']> & { name: string } },
    ) => {
      const known = of(resource).get(given.metadata.name);
      const object = structuredClone(given) as ApiObject;
      object.metadata.uid = known?.metadata.uid ?? object.metadata.uid ?? randomUUID();
      object.metadata.creationTimestamp =
        known?.metadata.creationTimestamp ?? object.metadata.creationTimestamp ?? new Date().toISOString();
      of(resource).set(object.metadata.name, object);
      record(known ? 'MODIFIED' : 'ADDED', resource, object);
      return object;
    },
    remove: (resource: string, name: string) => {
      const known = of(resource).get(name);
      if (!known) return;
      of(resource).delete(name);
      record('DELETED', resource, known);
    },
    /** Changes after a version; `undefined`: they are forgotten. */
    since: (resource: string, from: number) =>
      from < forgotten
        ? undefined
        : changes.filter((change) => change.resource === resource && change.version > from),
    /** Forgets all changes up to now: a watch from before is answered with 410. */
    compact: () => {
      version++;
      forgotten = version;
      changes.length = 0;
    },
    onChange: (listener: (change: Change) => void) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}

/** Whether an object has what `a=b,c=d` asks for. */
export function selects(selector: string | null, object: ApiObject): boolean {
  return (selector ?? '')
    .split(',')
    .filter((term) => term !== '')
    .every((term) => {
      const [name = '', value] = term.split('=');
      return object.metadata.labels?.[name] === value;
    });
}
