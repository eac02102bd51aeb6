import assert from 'node:assert/strict';
import { describe, test, type TestContext } from 'node:test';
import { inspectCluster } from '../../src/adapters/kubernetes/inspect/inspect-cluster.js';
import type { ClusterFinding, InspectedPool } from '../../src/adapters/kubernetes/inspect/inspection.js';
import { loadConfig } from '../../src/config/load-config.js';
import type { KubernetesSettings } from '../../src/core/kubernetes.js';
import { withKubernetes } from './kubernetes-world.js';
import { mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

const DIGEST = `@sha256:${'a'.repeat(64)}`;

const project = (pools: string, more = '') => `project: churn
store: s3://bucket/churn
kubernetes:
  namespace: team-a
  image: registry.example.com/anneal${DIGEST}
  store: { secret: anneal-store }
${more}
pools:
  ${pools}
`;

const CPU = `cpu: { executor: kubernetes, image: "registry.example.com/train:1.2", cpu: 4 }`;
const GPU = `gpu: { executor: kubernetes, gpu: 8, gpuType: a100, nodeSelector: { pool: big } }`;

/** A cluster where all is well for {@link CPU} and {@link GPU}, until a test says otherwise. */
async function withCluster(t: TestContext, pools = `${CPU}\n  ${GPU}`) {
  const { server, transport } = await withKubernetes(t, { retry: { firstMs: 1 } });
  const { state } = server;
  const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' };
  state.put('namespaces', { metadata: { name: 'team-a', labels } });
  state.put('serviceaccounts', { metadata: { name: 'default' } });
  const data = { 'access-key-id': 'QQ==', 'secret-access-key': 'Ug==' };
  state.put('secrets', { metadata: { name: 'anneal-store' }, data });
  state.put('nodes', {
    metadata: { name: 'n1', labels: { pool: 'big', 'nvidia.com/gpu.product': 'NVIDIA-A100-SXM4-80GB' } },
    status: { allocatable: { 'nvidia.com/gpu': '8' } },
  });
  const load = async (text: string) => {
    const folder = await realpath(await mkdtemp(path.join(tmpdir(), 'anneal-inspect-')));
    t.after(async () => await rm(folder, { recursive: true, force: true }));
    await writeFile(path.join(folder, 'anneal.yaml'), text);
    const config = await loadConfig({ cwd: folder, env: {} });
    const settings = config.kubernetes as KubernetesSettings;
    const inspected = Object.entries(config.pools).map(
      ([name, pool]) => ({ name, ...pool }) as InspectedPool,
    );
    return { settings, pools: inspected };
  };
  const inspect = async (text = project(pools)) =>
    await inspectCluster({ transport, connection: server.connection, ...(await load(text)) });
  return { server, state, inspect };
}

/** Level and text of what was found under a name. */
function of(findings: readonly ClusterFinding[], name: string): string {
  return findings
    .filter((finding) => finding.name === name)
    .map(({ level, found, mend }) => `${level}: ${found}${mend === undefined ? '' : ` | ${mend}`}`)
    .join('\n');
}

test('a cluster in order is said to be, in one line each, and nothing in it was changed', async (t) => {
  const { inspect, server } = await withCluster(t);
  const before = server.state.version;
  const findings = await inspect();
  assert.deepEqual(
    findings.filter(({ level }) => level !== 'ok'),
    [],
  );
  assert.match(of(findings, 'Kubernetes'), /^ok: v1\.36\.3 at http:\/\/127\.0\.0\.1:\d+, context "fake"$/);
  assert.equal(of(findings, 'GPU nodes'), 'ok: pool "gpu": 8 nvidia.com/gpu on 1 node');
  assert.equal(of(findings, 'Quota'), 'ok: none');
  assert.equal(of(findings, 'Kueue'), '');
  assert.equal(server.state.version, before);
});

describe('what is wrong with a cluster is said with its mend', () => {
  interface Case {
    readonly name: string;
    readonly finding: string;
    readonly expected: RegExp;
    readonly pools?: string;
    readonly text?: string;
    readonly spoil?: (world: Awaited<ReturnType<typeof withCluster>>) => void | Promise<void>;
  }
  const cases: readonly Case[] = [
    {
      name: 'an expired token',
      finding: 'Kubernetes',
      spoil: ({ server }) => server.fail({ times: 9, answer: { status: 401 } }),
      expected: /^error: .* refuses the credentials: they are wrong or have expired \| Sign in again/,
    },
    {
      name: 'a server that is away',
      finding: 'Kubernetes',
      spoil: async ({ server }) => await server.goAway(),
      expected:
        /^error: .* does not answer \(ECONNREFUSED\) \| Check the address of the context, the network/,
    },
    {
      name: 'a cluster that is too old',
      finding: 'Kubernetes',
      spoil: ({ server }) =>
        void server.documents.set('/version', { minor: '28+', gitVersion: 'v1.28.4-gke.1' }),
      expected: /^error: v1\.28\.4-gke\.1 at .*; needed: 1\.29 or later \| Upgrade/,
    },
    {
      name: 'no such namespace',
      finding: 'Namespace',
      spoil: ({ state }) => state.remove('namespaces', 'team-a'),
      expected: /^error: "team-a" does not exist \| Make it .*or correct kubernetes\.namespace/,
    },
    {
      name: 'a namespace that enforces little',
      finding: 'Pod Security',
      spoil: ({ state }) => void state.put('namespaces', { metadata: { name: 'team-a', labels: {} } }),
      expected: /^warning: nothing is enforced.* \| kubectl label namespace team-a pod-security/,
    },
    {
      name: 'rights that are missing',
      finding: 'Rights',
      spoil: ({ server }) =>
        server.allow(
          ({ verb, resource }) => !(verb === 'create' && resource === 'jobs') && resource !== 'events',
        ),
      expected: /^error: this account may not create jobs and list events in "team-a" \| Bind the Role/,
    },
    {
      name: 'nodes that are out of sight',
      finding: 'Rights',
      spoil: ({ server }) => server.allow(({ resource }) => resource !== 'nodes'),
      expected: /^ok: all that workers need; it may not see nodes/,
    },
    {
      name: 'a quota that is used up',
      finding: 'Quota',
      spoil: ({ state }) =>
        void state.put('resourcequotas', {
          metadata: { name: 'q' },
          status: {
            hard: { 'requests.memory': '64Gi', pods: '50' },
            used: { 'requests.memory': '65536Mi', pods: '3' },
          },
        }),
      expected: /^warning: used up: requests\.memory 65536Mi of 64Gi \| Steps wait/,
    },
    {
      name: 'no GPU at all',
      finding: 'GPU nodes',
      spoil: ({ state }) => state.remove('nodes', 'n1'),
      expected: /^warning: pool "gpu": no node offers nvidia\.com\/gpu \| Unless nodes are added/,
    },
    {
      name: 'a selector that no GPU node has',
      finding: 'GPU nodes',
      pools: 'gpu: { executor: kubernetes, gpu: 1, nodeSelector: { pool: bgi } }',
      expected: /^warning: pool "gpu": 1 node offers nvidia\.com\/gpu, but not with the labels/,
    },
    {
      name: 'more GPUs than a node has',
      finding: 'GPU nodes',
      pools: 'gpu: { executor: kubernetes, gpu: 16 }',
      expected:
        /^warning: pool "gpu": a step may ask for 16 GPUs, and no node has more than 8 \| Lower pools\.gpu\.gpu to 8/,
    },
    {
      name: 'a type of GPU that no node has',
      finding: 'GPU nodes',
      pools: 'gpu: { executor: kubernetes, gpu: 8, gpuType: h100 }',
      expected: /gpuType is "h100", which no label of its nodes says \(NVIDIA-A100-SXM4-80GB\)/,
    },
    {
      name: 'Kueue that is not there',
      finding: 'Kueue',
      pools: 'gpu: { executor: kubernetes, queue: team }',
      expected: /^error: not installed; pool "gpu" has a queue \| Install Kueue/,
    },
    {
      name: 'a queue that is not there',
      finding: 'Kueue',
      pools: 'gpu: { executor: kubernetes, queue: team }',
      spoil: ({ server }) =>
        void server.documents.set('/apis/kueue.x-k8s.io', {
          preferredVersion: { groupVersion: 'kueue.x-k8s.io/v1beta2' },
        }),
      expected: /^error: pool "gpu": namespace "team-a" has no local queue "team"/,
    },
    {
      name: 'an image that is none',
      finding: 'Images',
      pools: 'cpu: { executor: kubernetes, image: "Registry.example.com/Train:1" }',
      expected:
        /^error: pools\.cpu\.image is "Registry\.example\.com\/Train:1", which is no name of an image/,
    },
    {
      name: 'an image that moves',
      finding: 'Images',
      pools: 'cpu: { executor: kubernetes, image: "localhost:5000/train" }',
      expected: /^warning: pools\.cpu\.image \("localhost:5000\/train"\) may be another image tomorrow/,
    },
    {
      name: 'a Secret that is not there',
      finding: 'Store access',
      spoil: ({ state }) => state.remove('secrets', 'anneal-store'),
      expected:
        /^error: there is no Secret "anneal-store" \| Make it: kubectl -n team-a create secret generic anneal-store --from-literal=access-key-id=/,
    },
    {
      name: 'a Secret with other keys',
      finding: 'Store access',
      spoil: ({ state }) =>
        void state.put('secrets', { metadata: { name: 'anneal-store' }, data: { 'access-key-id': 'QQ==' } }),
      expected: /^error: Secret "anneal-store" lacks "secret-access-key"/,
    },
    {
      name: 'an identity that all steps share',
      finding: 'Cloud identities',
      spoil: ({ state }) =>
        void state.put('serviceaccounts', {
          metadata: {
            name: 'default',
            annotations: { 'eks.amazonaws.com/role-arn': 'arn:aws:iam::1:role/x' },
          },
        }),
      expected:
        /^error: the service account "default" has an identity at AWS, which the code of every step could use/,
    },
    {
      name: 'an account that is not there',
      finding: 'Cloud identities',
      pools: 'cpu: { executor: kubernetes, serviceAccounts: [readers] }',
      expected: /^error: there is no service account "readers" \| Make it, or correct serviceAccounts/,
    },
  ];

  for (const { name, finding, expected, pools, spoil } of cases) {
    test(name, async (t) => {
      const world = await withCluster(t, pools);
      await spoil?.(world);
      const found = of(await world.inspect(), finding);
      assert.match(found, expected);
      assert.doesNotMatch(found, /undefined|\n/);
      await world.server.comeBack().catch(() => undefined);
    });
  }
});

test('what this account may not see is said to be so, and is no error', async (t) => {
  const { inspect, server } = await withCluster(t);
  for (const resource of ['namespaces', 'resourcequotas', 'nodes', 'secrets', 'serviceaccounts'])
    server.fail({ method: 'GET', resource, times: 9, answer: { status: 403, message: 'forbidden' } });
  const findings = await inspect();
  assert.deepEqual(
    findings.filter(({ level }) => level !== 'ok'),
    [],
  );
  assert.match(of(findings, 'Store access'), /Secret "anneal-store", which this account may not see/);
});
