import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import type { V1Job } from '@kubernetes/client-node';
import { createApiTransport, type ApiTransportDeps } from '../../src/adapters/kubernetes/api-transport.js';
import { createKubernetesApi } from '../../src/adapters/kubernetes/api.js';
import { createAttemptWatcher } from '../../src/adapters/kubernetes/attempt-watcher.js';
import type { ReflectorTimes } from '../../src/adapters/kubernetes/reflector.js';
import { startFakeApiServer } from './fake-api-server.js';

/** What selects the Jobs of these tests. */
export const SELECTOR = 'app.kubernetes.io/managed-by=anneal,anneal.dev/project=churn';

/** A Job as the executor makes it, as far as these tests look. */
export function aJob(name: string, more: Partial<V1Job> = {}): V1Job {
  const labels = { 'app.kubernetes.io/managed-by': 'anneal', 'anneal.dev/project': 'churn' };
  const containers = [{ name: 'main', image: 'kube.local/busybox:1', command: ['true'] }];
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name, labels },
    spec: {
      backoffLimit: 0,
      template: { metadata: { labels }, spec: { containers, restartPolicy: 'Never' } },
    },
    ...more,
  };
}

/** Short, so that a test sees several tries. */
export const FAST: Partial<ReflectorTimes> = {
  idleMs: 300,
  watchMs: 60_000,
  firstPauseMs: 10,
  longestPauseMs: 100,
};

/** A fake API server with an API client and a way to make watchers; all of it ends with the test. */
export async function withKubernetes(t: TestContext, options: Partial<ApiTransportDeps> = {}) {
  const server = await startFakeApiServer();
  const transport = createApiTransport({
    connection: server.connection,
    retry: { firstMs: 5, budgetMs: 5_000 },
    ...options,
  });
  const problems: Error[] = [];
  const stops: (() => Promise<void>)[] = [];
  t.after(async () => {
    await Promise.all(stops.map(async (stop) => await stop()));
    await transport.close();
    await server.close();
  });
  const startWatcher = (times: Partial<ReflectorTimes> = {}) => {
    const watcher = createAttemptWatcher({
      transport,
      namespace: server.namespace,
      labelSelector: SELECTOR,
      onProblem: (problem) => void problems.push(problem),
      times: { ...FAST, ...times },
    });
    stops.push(async () => await watcher.stop());
    watcher.start();
    return watcher;
  };
  return {
    server,
    transport,
    problems,
    api: createKubernetesApi(transport, server.namespace),
    /** One that runs, and may not have listed yet. */
    startWatcher,
    /** One that runs and has listed. */
    watcher: async (times: Partial<ReflectorTimes> = {}) => {
      const watcher = startWatcher(times);
      await watcher.ready();
      return watcher;
    },
  };
}

/** Writes a kubeconfig for the server; it goes with the test. @returns the environment that names it. */
export async function writeKubeconfig(
  t: TestContext,
  { url, namespace }: { readonly url: string; readonly namespace: string },
): Promise<{ readonly KUBECONFIG: string; readonly HOME: string }> {
  const home = await mkdtemp(path.join(tmpdir(), 'anneal-kubeconfig-'));
  t.after(async () => await rm(home, { recursive: true, force: true }));
  const file = path.join(home, 'config');
  const config = {
    'current-context': 'test',
    clusters: [{ name: 'test', cluster: { server: url } }],
    users: [{ name: 'test', user: { token: 'token-of-the-test' } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'test', namespace } }],
  };
  await writeFile(file, JSON.stringify(config));
  return { KUBECONFIG: file, HOME: home };
}

/** Waits for a condition; fails after `ms`. */
export async function until(what: string, condition: () => boolean, ms = 5_000): Promise<void> {
  const endsAt = performance.now() + ms;
  while (!condition()) {
    if (performance.now() > endsAt) throw new Error(`not within ${ms} ms: ${what}`);
    await wait(5);
  }
}
