/** What every object of the API has. */
interface Named {
  readonly metadata?: {
    readonly name?: string;
    readonly uid?: string;
    readonly resourceVersion?: string;
  };
}

/** What {@link createObjectCache} takes. */
export interface ObjectCacheDeps<T> {
  /** What objects are asked for by, such as the Job of a pod. */
  readonly groupOf: (object: T) => string;
  /** Called with the group of each object that changed, came or went. */
  readonly onChange: (group: string) => void;
  /** Called after {@link ObjectCache.replace}. */
  readonly onReplaced: () => void;
}

/** The newest known version of each object. */
export interface ObjectCache<T> {
  replace(items: readonly T[], resourceVersion: string): void;
  /** An older version than the known one, or one of an object that is gone, changes nothing. */
  put(object: T): void;
  drop(object: T): void;
  group(name: string): readonly T[];
  all(): readonly T[];
}

/** Objects that went, so that a late answer about one does not bring it back. */
const REMEMBERED = 1_000;

/** Makes an empty cache. */
export function createObjectCache<T extends Named>(deps: ObjectCacheDeps<T>): ObjectCache<T> {
  let groups = new Map<string, Map<string, T>>();
  const gone = new Set<string>();

  const insert = (object: T) => {
    const group = deps.groupOf(object);
    const known = groups.get(group) ?? new Map<string, T>();
    groups.set(group, known.set(uidOf(object), object));
  };
  const find = (object: T) => groups.get(deps.groupOf(object))?.get(uidOf(object));

  return {
    replace: (items, resourceVersion) => {
      const before = groups;
      groups = new Map();
      for (const item of items) insert(newer(before.get(deps.groupOf(item))?.get(uidOf(item)), item));
      // What was put in after the list was made is not in it, and is not gone either.
      for (const object of [...before.values()].flatMap((group) => [...group.values()]))
        if (isAfter(versionOf(object), resourceVersion) && !find(object)) insert(object);
      deps.onReplaced();
    },
    put: (object) => {
      if (gone.has(uidOf(object))) return;
      const known = find(object);
      if (known && isAfter(versionOf(known), versionOf(object))) return;
      insert(object);
      deps.onChange(deps.groupOf(object));
    },
    drop: (object) => {
      const group = deps.groupOf(object);
      const known = groups.get(group);
      known?.delete(uidOf(object));
      if (known?.size === 0) groups.delete(group);
      remember(gone, uidOf(object));
      deps.onChange(group);
    },
    group: (name) => [...(groups.get(name)?.values() ?? [])],
    all: () => [...groups.values()].flatMap((group) => [...group.values()]),
  };
}

function newer<T extends Named>(known: T | undefined, listed: T): T {
  return known && isAfter(versionOf(known), versionOf(listed)) ? known : listed;
}

function uidOf({ metadata }: Named): string {
  return metadata?.uid ?? metadata?.name ?? '';
}

function versionOf({ metadata }: Named): string {
  return metadata?.resourceVersion ?? '0';
}

/** Versions are whole numbers, larger than a double holds; Kubernetes guarantees their order since 1.35, and etcd always kept it. */
function isAfter(left: string, right: string): boolean {
  return left.length === right.length ? left > right : left.length > right.length;
}

function remember(gone: Set<string>, uid: string): void {
  gone.add(uid);
  if (gone.size <= REMEMBERED) return;
  const [oldest] = gone;
  if (oldest !== undefined) gone.delete(oldest);
}
