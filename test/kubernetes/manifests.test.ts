import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { listRights, NODE_RIGHTS, WORKER_RIGHTS } from '../../src/adapters/kubernetes/rights.js';
import { aJob, SELECTOR, until, withKubernetes } from './kubernetes-world.js';

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels?: { readonly [name: string]: string } };
  readonly rules?: unknown;
  readonly data?: { readonly [name: string]: string };
  readonly spec?: {
    readonly egress?: readonly {
      readonly to: readonly object[];
      readonly ports: readonly { readonly port: number }[];
    }[];
    readonly template: {
      readonly metadata: Manifest['metadata'] & { annotations: object };
      readonly spec: PodSpec;
    };
  };
}

interface PodSpec {
  readonly serviceAccountName: string;
  readonly automountServiceAccountToken: boolean;
  readonly terminationGracePeriodSeconds: number;
  readonly securityContext: object;
  readonly containers: readonly {
    readonly command: readonly string[];
    readonly securityContext: object;
    readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
    readonly startupProbe?: Probe;
    readonly readinessProbe?: Probe;
    readonly livenessProbe?: Probe;
  }[];
}

interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string };
}

const root = fileURLToPath(new URL('../../k8s', import.meta.url));

function readManifests(folder: string): Manifest[] {
  return readdirSync(path.join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.yaml') && !file.endsWith('kustomization.yaml'))
    .flatMap((file) => parseAllDocuments(readFileSync(path.join(root, folder, file), 'utf8')))
    .map((document) => document.toJS() as Manifest);
}

const find = (folder: string, kind: string) =>
  readManifests(folder).filter((manifest) => manifest.kind === kind);

describe('rights', () => {
  test('the role of workers is what the code lists', () => {
    assert.deepEqual(
      find('base', 'Role').map(({ rules }) => rules),
      [WORKER_RIGHTS],
    );
    assert.deepEqual(
      find('components/node-reader', 'ClusterRole').map(({ rules }) => rules),
      [NODE_RIGHTS],
    );
    assert.deepEqual(find('base', 'ClusterRole'), []);
  });

  test('the documentation has the same list', () => {
    const page = readFileSync(path.join(root, '..', 'docs', 'kubernetes.md'), 'utf8');
    const rows = [...page.matchAll(/^\| `([a-z/]+)`(?: \([a-z0-9.-]+\))? \| ([a-z, ]+) \|$/gm)];
    assert.deepEqual(
      rows.map(([, resource, verbs]) => [resource, verbs?.split(', ')]),
      WORKER_RIGHTS.map(({ resources, verbs }) => [resources[0], verbs]),
    );
  });

  test('nothing in them lets an account read secrets, make pods, enter containers or raise itself', () => {
    const rights = listRights(WORKER_RIGHTS);
    assert.deepEqual(
      rights.filter(
        ({ resource, verb }) => verb === '*' || /\*|secrets|roles|serviceaccounts/.test(resource),
      ),
      [],
    );
    assert.deepEqual(
      rights.filter(({ resource, verb }) => resource === 'pods' && verb === 'create'),
      [],
    );
    assert.deepEqual(
      rights.filter(({ subresource }) => subresource !== undefined),
      [{ verb: 'get', resource: 'pods', subresource: 'log' }],
    );
  });

  test('the client and the watcher use each of them, and no other', async (t) => {
    const { api, server, watcher } = await withKubernetes(t);
    const job = await api.createJob(aJob('train-a1'));
    const uid = job.metadata?.uid ?? '';
    const pod = server.addPod('train-a1');
    await watcher();
    await until('both watch', () => server.openWatches === 2);
    await api.readJob('train-a1');
    await api.listJobs({ labelSelector: SELECTOR });
    await api.listPods({ labelSelector: SELECTOR });
    await api.listEvents({ involvedUid: uid });
    await api.listWorkloads({ jobUid: uid });
    await api.readPodLog(pod.metadata.name, 'main', { tailLines: 1, limitBytes: 1 });
    await api.setJobTtl('train-a1', uid, 1);
    await api.deletePod(pod.metadata.name, { uid: pod.metadata.uid ?? '', graceSeconds: 1 });
    await api.deleteJob('train-a1', { uid });
    await api.readNode('real-0');
    const used = server.requests.map(({ method, path: asked, resource, watch, query }) => {
      const named =
        asked
          .replace(/.*\/namespaces\/[^/]+/, '')
          .replace(/^\/api\/v1/, '')
          .split('/').length > 2;
      const verbs: { [method: string]: string } = { POST: 'create', PATCH: 'patch', DELETE: 'delete' };
      const verb = verbs[method] ?? (watch ? 'watch' : named || query.has('container') ? 'get' : 'list');
      return `${verb} ${resource}${asked.endsWith('/log') ? '/log' : ''}`;
    });
    const granted = listRights([...WORKER_RIGHTS, ...NODE_RIGHTS]).map(
      ({ verb, resource, subresource }) =>
        `${verb} ${resource}${subresource === undefined ? '' : `/${subresource}`}`,
    );
    assert.deepEqual([...new Set(used)].sort(), granted.sort());
  });
});

describe('manifests', () => {
  test('the namespace enforces Pod Security restricted', () => {
    const [namespace] = find('base', 'Namespace');
    for (const mode of ['enforce', 'audit', 'warn'])
      assert.equal(namespace?.metadata.labels?.[`pod-security.kubernetes.io/${mode}`], 'restricted');
  });

  const deployments = [...find('base', 'Deployment'), ...find('pool-workers', 'Deployment')];

  for (const { metadata, spec } of deployments) {
    test(`${metadata.name} keeps to restricted, ends gracefully and offers its metrics`, () => {
      const pod = spec?.template.spec;
      assert.ok(pod && spec);
      assert.deepEqual(pod.securityContext, {
        runAsNonRoot: true,
        runAsUser: 65532,
        runAsGroup: 65532,
        fsGroup: 65532,
        seccompProfile: { type: 'RuntimeDefault' },
      });
      for (const { securityContext } of pod.containers)
        assert.deepEqual(securityContext, {
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        });
      assert.ok(pod.terminationGracePeriodSeconds >= 30);
      assert.deepEqual(spec.template.metadata.annotations, {
        'prometheus.io/scrape': 'true',
        'prometheus.io/port': '9464',
        'prometheus.io/path': '/metrics',
      });
      assert.equal(spec.template.metadata.labels?.['app.kubernetes.io/component'], 'worker');
    });
  }

  test('workers are asked whether they live and take work at the address where they offer it', () => {
    const [settings] = find('base', 'ConfigMap').filter(
      ({ metadata }) => metadata.name === 'anneal-settings',
    );
    const offered = Number(settings?.data?.['ANNEAL_HEALTH_ADDRESS']?.split(':').at(-1));
    for (const { metadata, spec } of deployments) {
      const [worker] = spec?.template.spec.containers ?? [];
      const { startupProbe, readinessProbe, livenessProbe, ports } = worker ?? assert.fail(metadata.name);
      assert.deepEqual(
        [startupProbe, readinessProbe, livenessProbe].map((probe) => probe?.httpGet),
        ['/livez', '/readyz', '/livez'].map((path) => ({ path, port: 'health' })),
      );
      assert.equal(ports.find(({ name }) => name === 'health')?.containerPort, offered);
    }
  });

  test('only workers of pools have a token of the API', () => {
    const tokens = deployments.map(({ spec }) => {
      const { serviceAccountName, automountServiceAccountToken, containers } =
        spec?.template.spec ?? ({} as PodSpec);
      return [containers[0]?.command.at(-1), serviceAccountName, automountServiceAccountToken];
    });
    assert.deepEqual(tokens, [
      ['pipelines', 'anneal-pipelines', false],
      ['cpu', 'anneal-worker', true],
    ]);
  });
});

describe('network policies', () => {
  const portsTo = (name: string) => {
    const [policy] = find('base', 'NetworkPolicy').filter(({ metadata }) => metadata.name === name);
    return policy?.spec?.egress ?? [];
  };

  test('let steps and workers reach S3 servers of their own, at port 9000', () => {
    for (const name of ['workers', 'steps'])
      assert.ok(
        portsTo(name).some(({ ports }) => ports.some(({ port }) => port === 9_000)),
        name,
      );
  });

  test("let all ask for names, also a node's own cache of them", () => {
    const to = portsTo('names').flatMap((rule) => rule.to);
    assert.deepEqual(to.at(-1), { ipBlock: { cidr: '169.254.20.10/32' } });
  });
});
