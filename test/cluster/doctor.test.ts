import assert from 'node:assert/strict';
import { mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { V1Job } from '@kubernetes/client-node';

import { WORKER_RIGHTS } from '../../src/adapters/kubernetes/rights.js';
import { loadConfig } from '../../src/config/load-config.js';
import { inspectKubernetes } from '../../src/workers/inspect-kubernetes.js';
import { startS3Server, type S3Server } from '../store/s3-server.js';
import { until } from '../system/support/until.js';
import { storeSecret } from './support/cluster-world.js';
import { clusterMissing, openCluster } from './support/cluster.js';
import { createNamespace, type ClusterNamespace } from './support/namespace.js';

const skip = clusterMissing || (process.env['ANNEAL_TEST_S3'] === undefined && 'ANNEAL_TEST_S3 not set');

interface Differs {
  readonly store?: string;
  readonly endpoint?: string;
  readonly image?: string;
  readonly secret?: string;
}

describe('doctor looks at the store from inside of a pod', { skip }, () => {
  let namespace: ClusterNamespace;
  let s3: S3Server;
  before(async () => {
    [namespace, s3] = await Promise.all([
      createNamespace('doctor', WORKER_RIGHTS),
      startS3Server(openCluster().hostAddress),
    ]);
    const { accessKeyId } = s3.credentials;
    const wrong = storeSecret(namespace.name, { accessKeyId, secretAccessKey: 'wrong' });
    await namespace.cluster.apply(storeSecret(namespace.name, s3.credentials), {
      ...wrong,
      metadata: { name: 'wrong', namespace: namespace.name },
    });
  });
  after(async () => {
    await Promise.all([namespace.remove(), s3.stop()]);
  });

  /** Level, text and mend of what was found. */
  const look = async (differs: Differs = {}): Promise<string> => {
    const { store = `s3://${s3.bucket}/doctor`, endpoint = s3.endpoint } = differs;
    const { image = 'kube.local/anneal:1', secret = 'anneal-store' } = differs;
    const folder = await realpath(await mkdtemp(path.join(tmpdir(), 'anneal-doctor-')));
    const text = `project: churn
store: ${store}
s3: { endpoint: "${endpoint}", region: us-east-1, forcePathStyle: true }
kubernetes: { namespace: ${namespace.name}, image: "${image}", store: { secret: ${secret} } }
pools:
  cpu: { executor: kubernetes, image: "kube.local/busybox:1", cpu: 1, user: 65532 }
`;
    await writeFile(path.join(folder, 'anneal.yaml'), text);
    try {
      const config = await loadConfig({ cwd: folder, env: {} });
      const findings = await inspectKubernetes(config, { ...process.env, KUBECONFIG: namespace.kubeconfig });
      const found = findings.find(({ name }) => name === 'Store from a pod');
      return `${found?.level ?? ''}: ${found?.found ?? ''} | ${found?.mend ?? ''}`;
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  };

  test('and says that all is well, and which of image, route, credentials and bucket is wrong; nothing is left', async () => {
    const [well, image, route, credentials, bucket, secret] = await Promise.all([
      look(),
      look({ image: 'kube.local/aneal:1' }),
      look({ endpoint: `http://${openCluster().hostAddress}:9` }),
      look({ secret: 'wrong' }),
      look({ store: 's3://no-such-bucket/doctor' }),
      look({ secret: 'absent' }),
    ]);
    assert.match(well, /^ok: lists, writes, reads and removes objects of s3:/);
    assert.match(
      image,
      /^error: the image "kube\.local\/aneal:1" cannot be pulled: .* \| Correct kubernetes\.image/,
    );
    assert.match(
      route,
      /^error: .*(does not answer|has not answered).* \| Pods of namespace .* have to reach it/,
    );
    assert.match(credentials, /^error: .*does not accept the credentials.* \| Pods have .* Secret "wrong"/);
    assert.match(bucket, /^error: .*there is no such bucket/);
    assert.match(secret, /^error: the container cannot be made: secret "absent" not found \| /);
    await until('no Job is left', async () => {
      const kinds = ['jobs,pods', '-n', namespace.name];
      const { items } = await namespace.cluster.read<{ readonly items: readonly V1Job[] }>(...kinds);
      return items.length === 0;
    });
  });
});
