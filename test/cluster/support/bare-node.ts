import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { V1Pod } from '@kubernetes/client-node';

import type { Toleration } from '../../../src/core/kubernetes.js';
import type { TestCluster } from './cluster.js';

/** How the agent of a played pod is. */
export interface PlayedAgent {
  readonly state: object;
  readonly lastState?: object;
}

/** A node of which there is nothing but the object: no kubelet answers for it, and the test plays it as long as it likes. */
export interface BareNode {
  readonly name: string;
  /** What a pool needs whose pods are to go there. */
  readonly placement: {
    readonly nodeSelector: { readonly [label: string]: string };
    readonly tolerations: readonly Toleration[];
  };
  /** Waits for the Job's pod on the node, and lets its step run. */
  play(namespace: string, job: string, agent?: PlayedAgent): Promise<V1Pod>;
  /** Puts what runs there out, as the node controller does five minutes after a node stopped answering. */
  taint(): Promise<void>;
  /** The node is gone, as when a machine is given back. */
  remove(): Promise<void>;
}

/** Makes a node that is ready for as long as the cluster waits for a sign of life. */
export async function createBareNode(cluster: TestCluster): Promise<BareNode> {
  const name = `bare-${randomBytes(4).toString('hex')}`;
  const now = new Date().toISOString();
  const amounts = { cpu: '8', memory: '32Gi', pods: '10', 'ephemeral-storage': '100Gi' };
  const node = {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels: { 'anneal.test/bare': name, 'kubernetes.io/hostname': name } },
    spec: { taints: [{ key: KEY, value: name, effect: 'NoSchedule' }] },
    status: {
      capacity: amounts,
      allocatable: amounts,
      conditions: [
        { type: 'Ready', status: 'True', reason: 'Played', lastHeartbeatTime: now, lastTransitionTime: now },
      ],
    },
  };
  await cluster.kubectl(['create', '-f', '-'], JSON.stringify(node));
  return {
    name,
    placement: {
      nodeSelector: { 'anneal.test/bare': name },
      tolerations: [{ key: KEY, operator: 'Exists', effect: 'NoSchedule' }],
    },
    play: async (namespace, job, agent = { state: { running: { startedAt: now } } }) => {
      const pod = await waitForPod(cluster, { namespace, job, node: name });
      const patch = JSON.stringify({ status: statusOf(pod, agent) });
      const of = ['-n', namespace, 'patch', 'pod', pod.metadata?.name ?? ''];
      await cluster.kubectl([...of, '--subresource=status', '--type=merge', '-p', patch]);
      return pod;
    },
    taint: async () => {
      await cluster.kubectl(['taint', 'node', name, `${KEY}=${name}:NoExecute`]);
    },
    remove: async () => {
      await cluster.kubectl(['delete', 'node', name, '--ignore-not-found']);
    },
  };
}

const KEY = 'anneal.test/bare';

async function waitForPod(
  cluster: TestCluster,
  { namespace, job, node }: { readonly namespace: string; readonly job: string; readonly node: string },
): Promise<V1Pod> {
  for (const deadline = Date.now() + 60_000; Date.now() < deadline; await delay(200)) {
    const selector = `batch.kubernetes.io/job-name=${job}`;
    const list = await cluster.read<{ readonly items: readonly V1Pod[] }>(
      ...['pods', '-n', namespace, '-l', selector],
    );
    const pod = list.items.find(({ spec }) => spec?.nodeName === node);
    if (pod !== undefined) return pod;
  }
  throw new Error(`The Job ${job} has no pod on node ${node}.`);
}

function statusOf(pod: V1Pod, agent: PlayedAgent): object {
  const now = new Date().toISOString();
  const status = (name: string, { state, lastState = {} }: PlayedAgent) => {
    const { initContainers = [], containers } = pod.spec ?? { containers: [] };
    const image = [...initContainers, ...containers].find((one) => one.name === name)?.image ?? '';
    const ready = 'running' in state;
    return { name, state, lastState, image, imageID: image, ready, started: ready, restartCount: 0 };
  };
  const running = { state: { running: { startedAt: now } } };
  return {
    phase: 'Running',
    startTime: now,
    conditions: ['PodScheduled', 'Initialized', 'ContainersReady', 'Ready'].map((type) => ({
      ...{ type, status: 'True', lastTransitionTime: now },
    })),
    initContainerStatuses: [
      status('fetch', { state: { terminated: { exitCode: 0, startedAt: now, finishedAt: now } } }),
      status('agent', agent),
    ],
    containerStatuses: [status('main', running)],
  };
}
