import type { V1Container, V1Job } from '@kubernetes/client-node';

import { POD_PROGRAMS } from '../../../core/pod-layout.js';
import { LABELS, MANAGED_BY } from '../labels.js';
import { buildStoreEnvironment } from '../pod/build-environment.js';
import { storeToken } from '../pod/build-volumes.js';
import type { InspectedPool, InspectedStore, Inspection } from './inspection.js';

/** Longest life of the probe's pod, with nobody there to remove it. */
const DEADLINE_SECONDS = 120;

/** Name of the probe's only container. */
export const PROBE_CONTAINER = 'probe';

/**
 * A Job whose pod looks at the store: with the image, the account and the credentials of `fetch` and `agent`, where pods of the pool go, under
 * Pod Security *restricted*. It carries the label by which network policies know pods of steps, and not the project's: no worker takes it for
 * an attempt.
 */
export function buildProbeJob(
  { settings, connection }: Pick<Inspection, 'settings' | 'connection'>,
  {
    name,
    pool,
    store,
  }: { readonly name: string; readonly pool: InspectedPool | undefined; readonly store: InspectedStore },
): V1Job {
  const access = settings.store;
  const labels = { [LABELS.managedBy]: MANAGED_BY, [LABELS.name]: 'doctor' };
  const token = storeToken(access);
  const account = access && 'audience' in access ? access.serviceAccount : undefined;
  const { user, imagePullSecrets = [], nodeSelector = {}, tolerations = [] } = pool?.placement ?? {};
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name, namespace: connection.namespace, labels },
    spec: {
      backoffLimit: 0,
      activeDeadlineSeconds: DEADLINE_SECONDS,
      ttlSecondsAfterFinished: DEADLINE_SECONDS,
      template: {
        metadata: { labels },
        spec: {
          restartPolicy: 'Never',
          automountServiceAccountToken: false,
          enableServiceLinks: false,
          terminationGracePeriodSeconds: 1,
          securityContext: {
            runAsNonRoot: true,
            ...(user !== undefined && { runAsUser: user, runAsGroup: user, fsGroup: user }),
            seccompProfile: { type: 'RuntimeDefault' },
          },
          ...(account !== undefined && { serviceAccountName: account }),
          imagePullSecrets: imagePullSecrets.map((secret) => ({ name: secret })),
          nodeSelector,
          tolerations: [
            ...tolerations.map((toleration) => ({ ...toleration })),
            ...((pool?.gpu ?? 0) > 0 ? [{ key: 'nvidia.com/gpu', operator: 'Exists' }] : []),
          ],
          volumes: token === undefined ? [] : [token.volume],
          containers: [buildProbeContainer(settings, store)],
        },
      },
    },
  };
}

function buildProbeContainer(
  { image, store: access }: Inspection['settings'],
  store: InspectedStore,
): V1Container {
  const token = storeToken(access);
  return {
    name: PROBE_CONTAINER,
    image,
    command: ['node', `${POD_PROGRAMS}/pod-probe.js`],
    env: buildStoreEnvironment({ ...store, ...(access === undefined ? {} : { access }) }),
    resources: {
      requests: { cpu: '50m', memory: '256Mi' },
      limits: { cpu: '500m', memory: '256Mi' },
    },
    volumeMounts: token === undefined ? [] : [token.mount],
    securityContext: {
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
      readOnlyRootFilesystem: true,
    },
    terminationMessagePolicy: 'FallbackToLogsOnError',
  };
}
