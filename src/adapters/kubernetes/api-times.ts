/**
 * Turns the times of an object of the API into dates, as the types of `@kubernetes/client-node` have them. Only those of metadata and status:
 * what users write in a spec stays as it is.
 */
export function readTimes<T extends object>(object: T): T {
  const { metadata, status } = object as {
    readonly metadata?: { [name: string]: unknown };
    readonly status?: object;
  };
  if (metadata) {
    for (const name of ['creationTimestamp', 'deletionTimestamp']) toDate(metadata, name);
  }
  if (status) walk(status, 0);
  return object;
}

/** Names of times in the status of Jobs, Pods and Nodes, and in events. */
const TIMES = new Set([
  'startTime',
  'completionTime',
  'startedAt',
  'finishedAt',
  'lastTransitionTime',
  'lastProbeTime',
  'lastHeartbeatTime',
]);

/** `status.containerStatuses[].lastState.terminated.finishedAt` is as deep as it gets. */
const DEEPEST = 6;

function walk(node: object, depth: number): void {
  if (Array.isArray(node)) {
    for (const item of node as readonly unknown[])
      if (typeof item === 'object' && item !== null) walk(item, depth);
    return;
  }
  const fields = node as { [name: string]: unknown };
  for (const [name, value] of Object.entries(fields)) {
    if (TIMES.has(name)) toDate(fields, name);
    else if (typeof value === 'object' && value !== null && depth < DEEPEST) walk(value, depth + 1);
  }
}

/** Turns the named times of an event into dates. */
export function readEventTimes<T extends object>(event: T): T {
  const fields = event as { [name: string]: unknown };
  for (const name of ['firstTimestamp', 'lastTimestamp', 'eventTime']) toDate(fields, name);
  return readTimes(event);
}

function toDate(fields: { [name: string]: unknown }, name: string): void {
  const written = fields[name];
  if (typeof written === 'string') fields[name] = new Date(written);
}
