import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { V1Container } from '@kubernetes/client-node';
import fc from 'fast-check';
import { buildJob } from '../../src/adapters/kubernetes/pod/build-job.js';
import { podPaths } from '../../src/core/pod-layout.js';
import type { AttemptRequest } from '../../src/core/attempt.js';
import { jobRequest } from './job-request.js';

/** Every field that a pod of Anneal may have. */
const POD_FIELDS = new Set(
  `restartPolicy automountServiceAccountToken enableServiceLinks terminationGracePeriodSeconds activeDeadlineSeconds securityContext
   serviceAccountName imagePullSecrets nodeSelector affinity tolerations priorityClassName runtimeClassName volumes initContainers containers`.split(
    /\s+/,
  ),
);
const CONTAINER_FIELDS = new Set(
  `name image command args workingDir env resources volumeMounts securityContext terminationMessagePolicy restartPolicy startupProbe`.split(
    /\s+/,
  ),
);
const VOLUME_KINDS = new Set([
  'emptyDir',
  'ephemeral',
  'persistentVolumeClaim',
  'secret',
  'configMap',
  'projected',
]);

const hostile = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.constantFrom(
    '$(ANNEAL_POD_UID)',
    '$$',
    '$',
    '$(HOME)',
    '$$(A)',
    '__proto__',
    'hostNetwork',
    '../../etc',
    '"}',
    'anneal-store',
  ),
);
const map = <T>(value: fc.Arbitrary<T>) => fc.dictionary(hostile, value, { maxKeys: 4 });

const secretName = fc.oneof({ weight: 3, arbitrary: fc.constant('hub') }, hostile);

const request: fc.Arbitrary<Partial<AttemptRequest>> = fc.record({
  step: hostile,
  pipeline: hostile,
  pool: hostile,
  image: hostile,
  command: fc.array(fc.oneof(hostile, fc.array(hostile, { maxLength: 3 })), { minLength: 1, maxLength: 4 }),
  env: map(fc.oneof(hostile, fc.record({ secret: fc.record({ name: secretName, key: hostile }) }))),
  parameters: map(hostile),
  resources: fc.record({
    cpu: fc.constantFrom(0.5, 4),
    memory: fc.constantFrom('1Gi', '0.5Gi'),
    gpu: fc.nat(2),
    sharedMemory: fc.constantFrom('1Gi'),
  }),
  kubernetes: fc.record(
    {
      nodeSelector: map(hostile),
      tolerations: fc.array(fc.record({ key: hostile, hostPath: hostile })),
      priorityClass: hostile,
      volumes: fc.dictionary(fc.constantFrom('data'), fc.constantFrom('/mnt/data', '/anneal/x')),
      files: fc.dictionary(
        fc.constantFrom('/mnt/a', '/mnt/b'),
        fc.oneof(fc.record({ secret: secretName }), fc.record({ configMap: hostile })),
        { maxKeys: 2 },
      ),
      hostNetwork: fc.constant(true),
      securityContext: fc.constant({ privileged: true }),
      serviceAccount: fc.constantFrom('mine', 'admin'),
    },
    { requiredKeys: [] },
  ),
});

const placement = {
  allow: ['nodeSelector', 'tolerations', 'priorityClass', 'files'],
  volumes: { data: { claim: 'claim', readOnly: true } },
  serviceAccounts: ['mine'],
  secrets: ['hub'],
} as const;

/** What Kubernetes makes of a text in a command or in the environment. */
function expand(text: string, env: { readonly [name: string]: string }): string {
  return text.replace(/\$(\$|\(([^)]*)\))?/g, (whole, what?: string, name?: string) =>
    what === '$' ? '$' : name !== undefined && Object.hasOwn(env, name) ? (env[name] ?? '') : whole,
  );
}

test('nothing that a step says becomes anything but a value in its place', () => {
  let whole = 0;
  fc.assert(
    fc.property(request, (asked) => {
      let job;
      try {
        job = buildJob(jobRequest(asked, { placement }));
      } catch (error) {
        assert.equal((error as Error).name, 'AnnealError');
        return;
      }
      whole++;
      const pod = job.spec?.template.spec ?? assert.fail();
      const [main] = pod.containers;
      const containers = [...(pod.initContainers ?? []), ...pod.containers];
      assert.deepEqual(
        containers.map(({ name }) => name),
        ['fetch', 'agent', 'main'],
      );
      for (const field of Object.keys(pod)) assert.ok(POD_FIELDS.has(field), field);
      for (const container of containers) checkContainer(container);
      for (const { name: _name, ...kinds } of pod.volumes ?? [])
        for (const kind of Object.keys(kinds)) assert.ok(VOLUME_KINDS.has(kind), kind);
      assert.equal(pod.automountServiceAccountToken, false);
      assert.ok(pod.serviceAccountName === undefined || pod.serviceAccountName === 'mine');
      assert.deepEqual(main?.command, ['/anneal/bin/busybox', 'sh', podPaths().wrapper]);
      const secrets = [
        ...(main?.env ?? []).map(({ valueFrom }) => valueFrom?.secretKeyRef?.name),
        ...(pod.volumes ?? []).map(({ secret }) => secret?.secretName),
      ];
      assert.ok(secrets.every((name) => name === undefined || name === 'hub'));
      const env = Object.fromEntries((main?.env ?? []).map(({ name, value }) => [name, value ?? 'expanded']));
      assert.deepEqual(
        main?.args?.map((argument) => expand(argument, env)),
        asked.command?.map((argument) => (typeof argument === 'string' ? argument : argument.join(''))),
      );
      for (const [name, value] of Object.entries(asked.env ?? {}))
        if (typeof value === 'string' && !/^(ANNEAL_|HOME$)/.test(name))
          assert.equal(expand(env[name] ?? '', env), value);
      for (const label of Object.values(job.metadata?.labels ?? {}))
        assert.match(label, /^(|[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)$/);
    }),
    { numRuns: 500 },
  );
  assert.ok(whole > 50, `only ${whole} requests were not refused`);
});

function checkContainer(container: V1Container): void {
  for (const field of Object.keys(container)) assert.ok(CONTAINER_FIELDS.has(field), field);
  const { allowPrivilegeEscalation, capabilities, privileged, runAsUser } = container.securityContext ?? {};
  assert.deepEqual(
    [allowPrivilegeEscalation, capabilities, privileged, runAsUser],
    [false, { drop: ['ALL'] }, undefined, undefined],
  );
  for (const { mountPath } of container.volumeMounts ?? [])
    assert.match(mountPath, /^\/(anneal|dev\/shm|mnt|[A-Za-z0-9_])/);
}
