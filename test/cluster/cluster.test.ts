import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { after, before, describe, test } from 'node:test';
import type { V1Node, V1Pod } from '@kubernetes/client-node';

import { WORKER_RIGHTS } from '../../src/adapters/kubernetes/rights.js';
import { isWrite, startAudit } from './support/audit-log.js';
import { clusterMissing } from './support/cluster.js';
import { createJob, waitForEnd, waitForPod } from './support/jobs.js';
import { createNamespace, type ClusterNamespace } from './support/namespace.js';

/** What the other cluster tests stand on. */
describe('the test cluster', { skip: clusterMissing, concurrency: false }, () => {
  let namespace: ClusterNamespace;

  before(async () => {
    namespace = await createNamespace('smoke', WORKER_RIGHTS);
  });

  after(async () => {
    await namespace.remove();
  });

  const kubectl = async (...args: string[]) =>
    await namespace.cluster.kubectl(['--kubeconfig', namespace.kubeconfig, ...args]);
  const messageOf = ({ status }: V1Pod) => status?.containerStatuses?.[0]?.state?.terminated?.message;

  test('a Job that asks for a GPU runs on the real node, under Pod Security restricted', async () => {
    const command = ['sh', '-c', 'echo "uid $(id -u)" > /dev/termination-log'];
    await createJob(namespace, { name: 'real', command, limits: { 'nvidia.com/gpu': '1' } });
    const pod = await waitForEnd(namespace, 'real');
    assert.equal(pod.spec?.nodeName, 'real-0');
    assert.equal(messageOf(pod), 'uid 65532\n');
  });

  test('a Job that asks for 8 GPUs ends on a simulated node as its annotations say', async () => {
    const annotations = { 'anneal.test/exit-code': '137', 'anneal.test/reason': 'OOMKilled' };
    const limits = { 'nvidia.com/gpu': '8' };
    await createJob(namespace, { name: 'fake', command: ['x'], limits, simulated: true, annotations });
    const pod = await waitForEnd(namespace, 'fake');
    assert.match(pod.spec?.nodeName ?? '', /^fake-gpu-/);
    const ended = pod.status?.containerStatuses?.[0]?.state?.terminated;
    assert.deepEqual([ended?.exitCode, ended?.reason], [137, 'OOMKilled']);
  });

  test('Pod Security refuses a privileged pod', async () => {
    const container = { name: 'main', image: 'kube.local/busybox:1', securityContext: { privileged: true } };
    const metadata = { name: 'privileged', namespace: namespace.name };
    await assert.rejects(
      namespace.cluster.apply({
        apiVersion: 'v1',
        kind: 'Pod',
        metadata,
        spec: { containers: [container] },
      }),
      /violates PodSecurity "restricted:latest": privileged/,
    );
  });

  test("the worker's account lists Jobs, and reads neither Secrets nor other namespaces", async () => {
    await kubectl('get', 'jobs');
    await assert.rejects(kubectl('get', 'secrets'), /secrets is forbidden/);
    await assert.rejects(kubectl('-n', 'kube-system', 'get', 'jobs'), /jobs.batch is forbidden/);
  });

  test('the audit log holds what an account asked, and nothing of the cluster itself', async () => {
    const audited = await startAudit(namespace.cluster);
    await createJob(namespace, { name: 'audited', command: ['true'] });
    await kubectl('get', 'job', 'audited');
    const requests = await audited(namespace.user);
    assert.deepEqual(
      requests.filter(isWrite).map(({ verb, resource, code }) => [verb, resource, code]),
      [['create', 'jobs', 201]],
    );
    assert.ok(requests.some(({ verb, name }) => verb === 'get' && name === 'audited'));
    assert.deepEqual(
      (await audited()).filter(({ user }) => /^system:(node|kube|apiserver)/.test(user)),
      [],
    );
  });

  test('a pod reaches a server on this machine', async () => {
    const server = createServer((_request, response) => response.end('here'));
    server.listen(0, namespace.cluster.hostAddress);
    await once(server, 'listening');
    try {
      const { port } = server.address() as AddressInfo;
      const url = `http://${namespace.cluster.hostAddress}:${port}/`;
      await createJob(namespace, {
        name: 'network',
        command: ['wget', '-q', '-O', '/dev/termination-log', url],
      });
      assert.equal(messageOf(await waitForEnd(namespace, 'network')), 'here');
    } finally {
      server.close();
    }
  });

  test('the images hold what steps and agents need', async () => {
    const python = 'import sklearn, pandas, mlflow; print("ok")';
    const node =
      'echo "$(/opt/anneal/busybox echo busybox) $(node -p 1+1) $(anneal --version)" > /dev/termination-log';
    await createJob(namespace, {
      name: 'python',
      image: 'kube.local/python:1',
      command: ['sh', '-c', `HOME=/tmp python -c '${python}' > /dev/termination-log`],
    });
    await createJob(namespace, {
      name: 'anneal',
      image: 'kube.local/anneal:1',
      command: ['sh', '-c', node],
    });
    assert.equal(messageOf(await waitForEnd(namespace, 'python')), 'ok\n');
    assert.match(messageOf(await waitForEnd(namespace, 'anneal')) ?? '', /^busybox 2 \d+\.\d+\.\d+\n$/);
  });

  test('a Job that runs outlives a kubelet and an API server that are killed, and GPUs stay', async () => {
    const { cluster } = namespace;
    const command = [
      'sh',
      '-c',
      'until [ -e /tmp/go ]; do sleep 0.1; done; echo went > /dev/termination-log',
    ];
    await createJob(namespace, { name: 'outlives', command });
    const running = await waitForPod(
      namespace,
      'outlives',
      ({ status }) => status?.containerStatuses?.[0]?.started === true,
    );
    await cluster.stop('apiserver');
    await assert.rejects(kubectl('get', 'jobs'), /refused/);
    await cluster.restart('kubelet');
    await cluster.start('apiserver');
    const pod = running.metadata?.name ?? '';
    for (const deadline = Date.now() + 60_000; ; await delay(500)) {
      const done = cluster.kubectl(['-n', namespace.name, 'exec', pod, '--', 'touch', '/tmp/go']);
      if (
        await done.then(
          () => true,
          () => false,
        )
      )
        break;
      assert.ok(Date.now() < deadline, 'the kubelet answers again');
    }
    const ended = await waitForEnd(namespace, 'outlives');
    assert.equal(messageOf(ended), 'went\n');
    assert.equal(ended.metadata?.uid, running.metadata?.uid);
    for (const deadline = Date.now() + 30_000; ; await delay(500)) {
      const { status } = await cluster.read<V1Node>('node', 'real-0');
      if (status?.allocatable?.['nvidia.com/gpu'] === '2') break;
      assert.ok(Date.now() < deadline, 'the GPUs are claimed again');
    }
  });
});
