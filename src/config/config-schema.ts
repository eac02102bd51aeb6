import { z } from 'zod';
import { NAME_PATTERN, NAME_RULE, RESERVED_POOLS } from './name-rule.js';
import { parseApproverKey } from './approver-keys.js';
import { parseDuration } from '../core/duration.js';
import { SHORTEST_GRACE } from '../core/retention.js';
import { kubernetesPool, kubernetesSection } from './kubernetes-schema.js';
import { age as ageOf, cores, count, durationOf, memory, section, TEXT } from './setting-rules.js';

// Every message is what the key allows: the loader puts the position, the key and what was found before it.
const path = (what: string) => z.string({ error: what }).min(1, what);
const name = z.string({ error: NAME_RULE }).regex(NAME_PATTERN, NAME_RULE);
const OTHER_QUEUES = `a name other than ${RESERVED_POOLS.join(', ')}, which are queues of Anneal's own`;
const poolName = name.refine((text) => !RESERVED_POOLS.some((reserved) => reserved === text), OTHER_QUEUES);
const url = (schemes: readonly string[]) => {
  const allowed = `a URL that starts with ${schemes.map((scheme) => `${scheme}://`).join(' or ')}`;
  return z.string({ error: allowed }).refine((text) => isUrl(text, schemes), allowed);
};

const ADDRESS = 'an address of the form host:port';
const SLOTS = 'a whole number of at least 1';
const GPUS = 'a whole number of at least 0';
const SECRET = 'the name of a secret with keys username and password';
const HOST = 'a host such as "data.example.com" or "10.0.0.5:8443"';
const GRACE = `a time such as "24h", at least "${SHORTEST_GRACE}"`;
const KEEP = 'a whole number of at least 0';
const REGION = 'the name of a region such as "eu-central-1"';

const age = ageOf();
const grace = z
  .string({ error: GRACE })
  .refine((text) => (durationOf(text) ?? 0) >= parseDuration(SHORTEST_GRACE), GRACE);

const processPool = z.strictObject({
  executor: z.literal('process').optional(),
  slots: count(SLOTS, 1).optional(),
  cpu: cores().optional(),
  memory: memory().optional(),
  gpu: count(GPUS, 0).optional(),
  gpuType: z.string({ error: TEXT }).min(1, TEXT).optional(),
  gpuOptional: z.boolean({ error: 'true or false' }).optional(),
});

const pool = z.discriminatedUnion('executor', [processPool, kubernetesPool], {
  error: (issue) =>
    issue.code === 'invalid_union' ? '"process" or "kubernetes"' : 'a map of settings; {} for the defaults',
});

const KEY = 'an Ed25519 public key: a line such as "ssh-ed25519 AAAA..." or a PEM';
const PERSON = 'letters, digits and . _ @ + -, 100 characters at most';
const EMAIL = 'an e-mail address';

const personName = z.string({ error: PERSON }).regex(/^[A-Za-z0-9][\w.@+-]{0,99}$/, PERSON);
const key = z.string({ error: KEY }).refine((text) => parseApproverKey(text) !== undefined, KEY);
const approver = z.strictObject(
  {
    key: key.optional(),
    keys: z.array(key, { error: 'a list of keys' }).optional(),
    email: z
      .string({ error: EMAIL })
      .regex(/^[^\s@]+@[^\s@]+$/, EMAIL)
      .optional(),
  },
  { error: 'a map with key and email' },
);

const NOTIFIER_TYPE = '"slack" or "webhook"';
const CHANNEL_SECRET = 'the name of a secret with the key url (slack) or key (webhook)';
const ADDRESSES = 'a list of e-mail addresses, slack:NAME and webhook:NAME';

const notifier = z.strictObject(
  {
    type: z.enum(['slack', 'webhook'], { error: NOTIFIER_TYPE }),
    secret: z.string({ error: CHANNEL_SECRET }).min(1, CHANNEL_SECRET),
    url: url(['http', 'https']).optional(),
  },
  { error: 'a map with type and secret' },
);

const told = z.array(z.string({ error: ADDRESSES }).min(1, ADDRESSES), { error: ADDRESSES }).optional();

/** anneal.yaml as it is written; `anneal.yaml` may be empty. */
export const configSchema = z.strictObject(
  {
    project: name.optional(),
    pipelines: path('a path of a TypeScript or JavaScript module').optional(),
    activities: path('a path of a TypeScript or JavaScript module').optional(),
    pools: z
      .record(poolName, pool, { error: 'a map from names of pools to their settings' })
      .refine((pools) => Object.keys(pools).length > 0, 'at least one pool')
      .optional(),
    kubernetes: kubernetesSection,
    store: path('a directory, or a file:// or s3:// URI').optional(),
    builds: z.enum(['directory', 'store'], { error: '"directory" or "store"' }).optional(),
    s3: section({
      endpoint: url(['http', 'https']).optional(),
      region: z
        .string({ error: REGION })
        .regex(/^[a-z0-9-]+$/, REGION)
        .optional(),
      forcePathStyle: z.boolean({ error: 'true or false' }).optional(),
    }),
    data: section({
      allowHosts: z
        .array(
          z
            .string({ error: HOST })
            .regex(/^[A-Za-z0-9.-]+(:\d{1,5})?$|^\[[0-9a-fA-F:.]+\](:\d{1,5})?$/, HOST),
          {
            error: 'a list of hosts',
          },
        )
        .optional(),
    }),
    approvers: z
      .record(personName, approver, { error: 'a map from names of people to their keys' })
      .optional(),
    groups: z
      .record(personName, z.array(personName, { error: 'a list of names of approvers' }), {
        error: 'a map from names of groups to lists of approvers',
      })
      .optional(),
    secrets: path('a path of a file that only its owner can read').optional(),
    mlflow: section({
      uri: url(['http', 'https']).optional(),
      stepCredentials: z.string({ error: SECRET }).min(1, SECRET).optional(),
    }),
    temporal: section({
      address: z
        .string({ error: ADDRESS })
        .regex(/^[^\s/:]+:\d{1,5}$|^\[[0-9a-fA-F:]+\]:\d{1,5}$/, ADDRESS)
        .optional(),
      namespace: z.string({ error: TEXT }).min(1, TEXT).optional(),
      uiUrl: url(['http', 'https']).optional(),
    }),
    retention: section({
      age: age.optional(),
      keepLast: count(KEEP, 0).optional(),
      cache: age.optional(),
      checkpoints: age.optional(),
      grace: grace.optional(),
    }),
    smtp: section({
      url: url(['smtp', 'smtps']).optional(),
      from: z
        .string({ error: 'an e-mail address' })
        .regex(/^[^\s@]+@[^\s@]+$|^.+<[^\s@]+@[^\s@]+>$/, 'an e-mail address')
        .optional(),
      secret: z.string({ error: SECRET }).min(1, SECRET).optional(),
    }),
    notifiers: z
      .record(name, notifier, { error: 'a map from names of channels to their settings' })
      .optional(),
    notify: section({
      onFailure: told,
      onSuccess: told,
      onRecovery: told,
      onApproval: told,
      onStuck: told,
      onTerminated: told,
      onSkipped: told,
      onBudget: told,
    }),
  },
  { error: 'a map of settings' },
);

/** What {@link configSchema} accepts. */
export type ConfigFile = z.output<typeof configSchema>;

/** Every key of anneal.yaml, such as `pools.<name>.slots`; maps that hold other keys are not listed themselves. */
export function configKeys(schema: z.ZodType = configSchema, prefix = ''): string[] {
  const inner = schema instanceof z.ZodOptional ? (schema.unwrap() as z.ZodType) : schema;
  if (inner instanceof z.ZodObject) {
    return Object.entries<z.ZodType>(inner.shape).flatMap(([key, member]) =>
      configKeys(member, prefix === '' ? key : `${prefix}.${key}`),
    );
  }
  if (inner instanceof z.ZodDiscriminatedUnion)
    return [...new Set((inner.options as z.ZodType[]).flatMap((option) => configKeys(option, prefix)))];
  if (inner instanceof z.ZodRecord) return configKeys(inner.valueType as z.ZodType, `${prefix}.<name>`);
  return [prefix];
}

/** Keys that the schema knows beside an unknown one; `at` is the path of the map that holds them, `executor` that of its pool. */
export function keysAt(at: readonly PropertyKey[], executor?: unknown): string[] {
  if (at[0] === 'pools' && at.length >= 2)
    return keysBelow(configKeys(executor === 'kubernetes' ? kubernetesPool : processPool), at.slice(2));
  return keysBelow(configKeys(), at);
}

function keysBelow(keys: readonly string[], at: readonly PropertyKey[]): string[] {
  const depth = at.length;
  const matches = (key: string) =>
    key.split('.').length > depth &&
    at.every((part, i) => [String(part), '<name>'].includes(key.split('.')[i] ?? ''));
  return [...new Set(keys.filter(matches).map((key) => key.split('.')[depth] ?? ''))];
}

function isUrl(text: string, schemes: readonly string[]): boolean {
  return URL.canParse(text) && schemes.includes(new URL(text).protocol.slice(0, -1));
}
