import type { V1EnvVar } from '@kubernetes/client-node';
import { storeKeys } from '../../../core/artifact-store.js';
import { podPaths, podVariables } from '../../../core/pod-layout.js';
import { gpuCount } from '../../../core/pools.js';
import { traceParent } from '../../../core/trace-context.js';
import type { KubernetesOptions } from '../../../core/kubernetes.js';
import { POD_PATHS, STORE_ENV, STORE_SECRET_KEYS } from '../labels.js';
import { literal } from './build-command.js';
import type { JobRequest } from './job-request.js';

/** Environment of `main`. Later wins: the machine's, the run's, the step's own, and last what Anneal promises. */
export function buildMainEnvironment(
  { launch, mlflowSecret }: JobRequest,
  options: KubernetesOptions,
): V1EnvVar[] {
  const { request } = launch;
  const paths = podPaths();
  const env = new Map<string, V1EnvVar>();
  const put = (name: string, value: string) => env.set(name, { name, value: literal(value) });
  const take = (name: string, valueFrom: NonNullable<V1EnvVar['valueFrom']>) =>
    env.set(name, { name, valueFrom });
  const takeSecret = (name: string, secret: { readonly name: string; readonly key: string }) =>
    take(name, { secretKeyRef: { name: secret.name, key: secret.key } });

  put('HOME', paths.home);
  put('USER', 'anneal');
  put('LOGNAME', 'anneal');
  put('TMPDIR', paths.temporary);
  put('PYTHONUNBUFFERED', '1');
  put('TRACEPARENT', traceParent(request.executionId, launch.name));
  for (const [name, value] of Object.entries(launch.environment)) put(name, value);
  if (mlflowSecret !== undefined && request.tracking !== undefined) {
    takeSecret('MLFLOW_TRACKING_USERNAME', { name: mlflowSecret, key: 'username' });
    takeSecret('MLFLOW_TRACKING_PASSWORD', { name: mlflowSecret, key: 'password' });
  }
  for (const [name, { name: configMap, key }] of Object.entries(options.configMaps ?? {}))
    take(name, { configMapKeyRef: { name: configMap, key } });
  for (const [name, value] of Object.entries(request.env))
    if (typeof value === 'string') put(name, value);
    else takeSecret(name, value.secret);
  // Nobody's own variable may pose as one of these, whatever the image or the step says.
  env.delete(podVariables.timeout);
  // Who names GPUs here gets them where NVIDIA's runtime is the nodes' default, asked for or not, and images for GPUs name all of them. Those
  // that were asked for are the device plugin's to name.
  env.delete('NVIDIA_VISIBLE_DEVICES');
  if (gpuCount(request.resources) === 0) put('NVIDIA_VISIBLE_DEVICES', 'void');
  put('ANNEAL_RUN_ID', launch.runId);
  put('ANNEAL_STEP', request.step);
  put('ANNEAL_ATTEMPT', String(request.attempt));
  put('ANNEAL_CHECKPOINT_DIR', paths.checkpoints);
  put('ANNEAL_METRICS_STREAM', paths.metricsStream);
  put('ANNEAL_PARAMETERS_DIR', paths.parameters);
  take(podVariables.podUid, { fieldRef: { fieldPath: 'metadata.uid' } });
  if (request.takesCommands === true) put('ANNEAL_COMMANDS_DIR', paths.commands);
  else env.delete('ANNEAL_COMMANDS_DIR');
  put(podVariables.stopGrace, seconds(request.stopGraceMs));
  if (request.timeoutMs !== undefined) put(podVariables.timeout, seconds(request.timeoutMs));
  return [...env.values()];
}

/** Environment of `fetch` and `agent`: where the attempt's launch is, and what reaches the store. */
export function buildAgentEnvironment({ launch, store }: JobRequest): V1EnvVar[] {
  const { executionId } = launch.request;
  return [
    { name: podVariables.launch, value: literal(storeKeys.launch(executionId, launch.name)) },
    { name: podVariables.podUid, valueFrom: { fieldRef: { fieldPath: 'metadata.uid' } } },
    { name: podVariables.podName, valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
    ...buildStoreEnvironment(store),
  ];
}

/** What reaches the store. */
export function buildStoreEnvironment({
  uri,
  s3,
  access,
}: Pick<JobRequest['store'], 'uri' | 's3' | 'access'>): V1EnvVar[] {
  return [
    { name: podVariables.store, value: literal(uri) },
    ...(s3 === undefined ? [] : [{ name: podVariables.s3, value: literal(JSON.stringify(s3)) }]),
    ...credentials(access),
  ];
}

function credentials(access: JobRequest['store']['access']): V1EnvVar[] {
  if (access === undefined) return [];
  if ('secret' in access) {
    const from = (name: string, key: string, optional = false): V1EnvVar => ({
      name,
      valueFrom: { secretKeyRef: { name: access.secret, key, ...(optional && { optional }) } },
    });
    return [
      from(STORE_ENV.accessKeyId, STORE_SECRET_KEYS.accessKeyId),
      from(STORE_ENV.secretAccessKey, STORE_SECRET_KEYS.secretAccessKey),
      from(STORE_ENV.sessionToken, STORE_SECRET_KEYS.sessionToken, true),
    ];
  }
  return [
    { name: STORE_ENV.webIdentityTokenFile, value: POD_PATHS.storeTokenFile },
    ...(access.roleArn === undefined ? [] : [{ name: STORE_ENV.roleArn, value: literal(access.roleArn) }]),
  ];
}

/** Seconds as the wrapper reads them: whole ones, and tenths below a minute. */
function seconds(ms: number): string {
  return ms < 60_000 ? String(Math.ceil(ms / 100) / 10) : String(Math.ceil(ms / 1_000));
}
