import { z } from 'zod';
import { STEP_OPTIONS } from '../core/kubernetes.js';
import { age, cores, count, memory, section, text } from './setting-rules.js';

const DNS_NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;
const NAMESPACE = 'the name of a Kubernetes namespace';
const OBJECT = 'the name of a Kubernetes object: lower-case letters, digits, "-" and "."';
const LABELS = 'a map from labels of nodes to their values';
const VALUES = 'a map from labels of nodes to lists of values';
const RESOURCE = 'the name of an extended resource such as "nvidia.com/gpu"';
const EFFECT = '"NoSchedule", "PreferNoSchedule" or "NoExecute"';
const GPUS = 'a whole number of at least 0';
const PRICE = 'a number of at least 0';
const USER = 'the number of a user above 0, or "platform"';
const ALLOWED = `a list of: ${STEP_OPTIONS.join(', ')}`;
const STORE = 'a map with secret, or with audience';
const HOLDS = 'the URI of what lies there, such as s3://bucket/prefix';
const RATE = 'a number above 0';

const objectName = () => z.string({ error: OBJECT }).regex(DNS_NAME, OBJECT);
const objectNames = () => z.array(objectName(), { error: 'a list of names' }).optional();
const label = z.string({ error: LABELS });

const toleration = z.strictObject(
  {
    key: text().optional(),
    operator: z.enum(['Equal', 'Exists'], { error: '"Equal" or "Exists"' }).optional(),
    value: z.string({ error: 'a text' }).optional(),
    effect: z.enum(['NoSchedule', 'PreferNoSchedule', 'NoExecute'], { error: EFFECT }).optional(),
  },
  { error: 'a map with key, operator, value and effect' },
);

const volume = z.strictObject(
  {
    claim: objectName(),
    readOnly: z.boolean({ error: 'true or false' }).optional(),
    holds: z
      .string({ error: HOLDS })
      .regex(/^[a-z][a-z0-9]*:\/\/[^/]+/, HOLDS)
      .optional(),
  },
  { error: 'a map with claim, readOnly and holds' },
);

/** A pool whose attempts are Jobs. */
export const kubernetesPool = z.strictObject({
  executor: z.literal('kubernetes'),
  slots: count('a whole number of at least 1', 1).optional(),
  image: text('an image such as "registry.example.com/train:1"').optional(),
  cpu: cores().optional(),
  memory: memory().optional(),
  ephemeralStorage: memory().optional(),
  gpu: count(GPUS, 0).optional(),
  gpuType: text().optional(),
  gpuResource: z
    .string({ error: RESOURCE })
    .regex(/^[a-z0-9.-]+\/[A-Za-z0-9._-]+$/, RESOURCE)
    .optional(),
  defaults: section({
    cpu: cores().optional(),
    memory: memory().optional(),
    ephemeralStorage: memory().optional(),
  }),
  nodeSelector: z.record(label, z.string({ error: LABELS }), { error: LABELS }).optional(),
  nodeAffinity: z
    .record(label, z.array(z.string({ error: VALUES }), { error: VALUES }).min(1, VALUES), { error: VALUES })
    .optional(),
  tolerations: z.array(toleration, { error: 'a list of tolerations' }).optional(),
  priorityClass: objectName().optional(),
  runtimeClass: objectName().optional(),
  queue: objectName().optional(),
  maxPending: age().optional(),
  maxRuntime: age().optional(),
  scratch: memory().optional(),
  user: z.union([z.int().min(1), z.literal('platform')], { error: USER }).optional(),
  serviceAccounts: objectNames(),
  secrets: objectNames(),
  imagePullSecrets: objectNames(),
  volumes: z.record(objectName(), volume, { error: 'a map from names to volumes' }).optional(),
  allow: z.array(z.enum(STEP_OPTIONS, { error: ALLOWED }), { error: ALLOWED }).optional(),
  pricePerHour: z.number({ error: PRICE }).min(0, PRICE).optional(),
});

/** Where a project's Jobs run. */
export const kubernetesSection = section({
  context: text().optional(),
  namespace: z
    .string({ error: NAMESPACE })
    .regex(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/, NAMESPACE)
    .optional(),
  image: text('an image such as "registry.example.com/anneal@sha256:..."').optional(),
  store: z
    .strictObject(
      {
        secret: objectName().optional(),
        audience: text().optional(),
        role: text().optional(),
        serviceAccount: objectName().optional(),
      },
      { error: STORE },
    )
    .refine(({ secret, audience }) => (secret === undefined) !== (audience === undefined), STORE)
    .optional(),
  jobsPerSecond: z.number({ error: RATE }).positive(RATE).optional(),
  maxWatchedJobs: count('a whole number of at least 1', 1).optional(),
});

/** A pool of anneal.yaml as it is written. */
export type KubernetesPoolFile = z.output<typeof kubernetesPool>;

/** The section `kubernetes` as it is written. */
export type KubernetesFile = z.output<typeof kubernetesSection>;
