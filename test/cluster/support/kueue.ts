import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseAllDocuments } from 'yaml';

import { openCluster, type TestCluster } from './cluster.js';

/** Namespaces with this label are Kueue's; it sees no other. */
const LABEL = { 'anneal.test/kueue': 'yes' };
const NAMESPACE = 'kueue-system';

/** Why tests with Kueue do not run; for `skip`. */
export const kueueMissing: string | false = process.env['ANNEAL_TEST_KUEUE_OBSTACLE'] ?? false;

/** What a queue has to give. */
export interface Quota {
  readonly [resource: string]: string;
}

/** Puts Kueue into the cluster that is up, builds it first where it has to be, and waits until it answers. It stays there. */
export async function installKueue(): Promise<void> {
  const cluster = openCluster();
  const folder = await runScript(cluster);
  const manifests = parseAllDocuments(await readFile(path.join(folder, 'manifests.yaml'), 'utf8'));
  const objects = manifests.map((document) => document.toJS() as Manifest).flatMap(adapt);
  const crds = objects.filter(({ kind }) => kind === 'CustomResourceDefinition');
  await cluster.apply(...crds);
  await cluster.apply(...objects.filter((object) => !crds.includes(object)));
  await cluster.kubectl([
    ...['-n', NAMESPACE, 'rollout', 'status', 'deployment/kueue-controller-manager', '--timeout=110s'],
  ]);
  // Its webhooks answer a moment later than it says that it is ready.
  const flavor = { apiVersion: API, kind: 'ResourceFlavor', metadata: { name: FLAVOR } };
  for (const deadline = Date.now() + 60_000; ; await delay(500)) {
    try {
      return await cluster.apply(flavor);
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
  }
}

/**
 * Gives a namespace to Kueue, with a queue of that name. Jobs of higher priority take the place of others.
 * @returns takes the queue away.
 */
export async function createQueue(
  cluster: TestCluster,
  { namespace, queue, quota }: { readonly namespace: string; readonly queue: string; readonly quota: Quota },
): Promise<() => Promise<void>> {
  const own = `${namespace}-${queue}`;
  const resources = Object.entries(quota).map(([name, nominalQuota]) => ({ name, nominalQuota }));
  await cluster.apply(
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace, labels: LABEL } },
    {
      apiVersion: API,
      kind: 'ClusterQueue',
      metadata: { name: own },
      spec: {
        namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } },
        preemption: { withinClusterQueue: 'LowerPriority' },
        resourceGroups: [{ coveredResources: Object.keys(quota), flavors: [{ name: FLAVOR, resources }] }],
      },
    },
    {
      apiVersion: API,
      kind: 'LocalQueue',
      metadata: { name: queue, namespace },
      spec: { clusterQueue: own },
    },
  );
  return async () => {
    await cluster.kubectl(['delete', 'clusterqueue', own, '--wait=false', '--ignore-not-found']);
  };
}

const API = 'kueue.x-k8s.io/v1beta2';
const FLAVOR = 'anneal-test';

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  webhooks?: { namespaceSelector?: object; clientConfig: { service: { path?: string } } }[];
  data?: { [file: string]: string };
  spec?: { template?: { spec: { containers: Container[] } } };
}

interface Container {
  image: string;
  imagePullPolicy: string;
  resources: object;
}

/** Its manifests, for a machine without a registry, for Jobs alone, and for the namespaces that want it. */
function adapt(object: Manifest): Manifest[] {
  switch (object.kind) {
    // An aggregated API whose server is away keeps every namespace from being deleted.
    case 'APIService':
      return [];
    case 'Deployment':
      for (const container of object.spec?.template?.spec.containers ?? []) {
        container.image = 'kube.local/kueue:1';
        container.imagePullPolicy = 'IfNotPresent';
        container.resources = { requests: { cpu: '10m', memory: '64Mi' } };
      }
      return [object];
    case 'MutatingWebhookConfiguration':
    case 'ValidatingWebhookConfiguration':
      for (const webhook of object.webhooks ?? [])
        if (webhook.namespaceSelector !== undefined) webhook.namespaceSelector = { matchLabels: LABEL };
      return [object];
    case 'ConfigMap':
      object.data = { 'controller_manager_config.yaml': SETTINGS };
      return [object];
    default:
      return [object];
  }
}

const SETTINGS = `apiVersion: config.kueue.x-k8s.io/v1beta2
kind: Configuration
health: { healthProbeBindAddress: ":8081" }
metrics: { bindAddress: ":8443" }
webhook: { port: 9443 }
leaderElection: { leaderElect: false }
clientConnection: { qps: 300, burst: 500 }
managedJobsNamespaceSelector: { matchLabels: ${JSON.stringify(LABEL)} }
integrations: { frameworks: [batch/job] }
`;

/** @returns where Kueue and its manifests are. */
async function runScript(cluster: TestCluster): Promise<string> {
  const script = fileURLToPath(new URL('../kueue.sh', import.meta.url));
  const home = path.dirname(path.dirname(cluster.kubeconfig));
  const env = { ...process.env, CLUSTER_HOME: home, CLUSTER_BIN: cluster.bin };
  const child = spawn(script, ['--load'], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  let said = '';
  child.stdout.on('data', (chunk) => (output += String(chunk)));
  child.stderr.on('data', (chunk) => (said += String(chunk)));
  const code = await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  const folder = output.trim();
  if (code !== 0 || !existsSync(folder)) throw new Error(`kueue.sh ended with ${String(code)}: ${said}`);
  return folder;
}
