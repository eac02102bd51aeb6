import { randomBytes } from 'node:crypto';
import { mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import type { PolicyRule } from '../../../src/adapters/kubernetes/rights.js';
import { openCluster, type TestCluster } from './cluster.js';

/** A namespace of one test, as a project has it: Pod Security restricted is enforced, and the worker's account has a worker's rights. */
export interface ClusterNamespace {
  readonly name: string;
  readonly cluster: TestCluster;
  /** Of the service account `anneal-worker`; the namespace is its default. */
  readonly kubeconfig: string;
  readonly token: string;
  /** As the audit log names the worker. */
  readonly user: string;
  /** A kubeconfig for an account with other rights. */
  account(
    name: string,
    rules: readonly PolicyRule[],
  ): Promise<{ readonly kubeconfig: string; readonly token: string }>;
  /** Ends what runs in it; does not wait for that. */
  remove(): Promise<void>;
}

/** Makes a namespace with an account that has exactly the given rights. */
export async function createNamespace(
  prefix: string,
  rules: readonly PolicyRule[],
): Promise<ClusterNamespace> {
  const cluster = openCluster();
  const name = `${prefix}-${randomBytes(4).toString('hex')}`;
  const folder = await realpath(await mkdtemp(path.join(tmpdir(), 'anneal-cluster-')));
  const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' };
  await cluster.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } });
  const account: ClusterNamespace['account'] = async (user, rights) => {
    const metadata = { name: user, namespace: name };
    const subjects = [{ kind: 'ServiceAccount', name: user, namespace: name }];
    const roleRef = { apiGroup: RBAC, kind: 'Role', name: user };
    await cluster.apply(
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata },
      { apiVersion: `${RBAC}/v1`, kind: 'Role', metadata, rules: rights },
      { apiVersion: `${RBAC}/v1`, kind: 'RoleBinding', metadata, subjects, roleRef },
    );
    const token = (await cluster.kubectl(['-n', name, 'create', 'token', user, '--duration=6h'])).trim();
    const kubeconfig = path.join(folder, `${user}.json`);
    await writeFile(kubeconfig, JSON.stringify(kubeconfigOf({ cluster, namespace: name, user, token })));
    return { kubeconfig, token };
  };
  const worker = await account('anneal-worker', rules);
  return {
    name,
    cluster,
    ...worker,
    user: `system:serviceaccount:${name}:anneal-worker`,
    account,
    remove: async () => {
      await rm(folder, { recursive: true, force: true });
      await cluster.kubectl(['delete', 'namespace', name, '--wait=false', '--ignore-not-found']);
    },
  };
}

const RBAC = 'rbac.authorization.k8s.io';

function kubeconfigOf(of: { cluster: TestCluster; namespace: string; user: string; token: string }): object {
  const { cluster, namespace, user, token } = of;
  const authority = Buffer.from(cluster.authority).toString('base64');
  return {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'test',
    contexts: [{ name: 'test', context: { cluster: 'test', user, namespace } }],
    clusters: [
      { name: 'test', cluster: { server: cluster.apiServer, 'certificate-authority-data': authority } },
    ],
    users: [{ name: user, user: { token } }],
  };
}
