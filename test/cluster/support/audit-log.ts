import { open, stat } from 'node:fs/promises';

import type { TestCluster } from './cluster.js';

/** One request as the API server's audit log has it. */
export interface AuditedRequest {
  readonly verb: string;
  readonly user: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
  readonly code: number;
  readonly userAgent: string;
}

interface AuditEvent {
  readonly stage: string;
  readonly verb: string;
  readonly user: { readonly username: string };
  readonly objectRef?: {
    readonly resource?: string;
    readonly subresource?: string;
    readonly namespace?: string;
    readonly name?: string;
  };
  readonly responseStatus?: { readonly code?: number };
  readonly userAgent?: string;
}

const WRITING = new Set(['create', 'update', 'patch', 'delete', 'deletecollection']);

/** Whether a request changes something. */
export const isWrite = ({ verb }: AuditedRequest): boolean => WRITING.has(verb);

/** What was asked from now on: call the answer to read it. A watch that goes on counts, once. */
export async function startAudit(
  cluster: TestCluster,
): Promise<(user?: string) => Promise<readonly AuditedRequest[]>> {
  const { size: from } = await stat(cluster.auditLog);
  return async (user) => {
    const log = await open(cluster.auditLog);
    try {
      const { size } = await log.stat();
      const { buffer } = await log.read(Buffer.alloc(size - from), 0, size - from, from);
      const lines = buffer.toString('utf8').split('\n').slice(0, -1);
      const requests = lines
        .map((line) => JSON.parse(line) as AuditEvent)
        // A watch is written when it begins, and when it ends.
        .filter(({ verb, stage }) => (verb === 'watch') === (stage === 'ResponseStarted'))
        .map(requestOf);
      return user === undefined ? requests : requests.filter((request) => request.user === user);
    } finally {
      await log.close();
    }
  };
}

function requestOf({
  verb,
  user,
  objectRef = {},
  responseStatus,
  userAgent = '',
}: AuditEvent): AuditedRequest {
  const { resource = '', subresource = '', namespace = '', name = '' } = objectRef;
  const code = responseStatus?.code ?? 0;
  return { verb, user: user.username, resource, subresource, namespace, name, code, userAgent };
}
