import { STORE_SECRET_KEYS } from '../labels.js';
import { find, inNamespace, listed, type ClusterFinding, type Inspection } from './inspection.js';

/** Whether the images are written as such, and whether they stay what they are. */
export function inspectImages({ settings, pools }: Pick<Inspection, 'settings' | 'pools'>): ClusterFinding[] {
  const used = [
    { key: 'kubernetes.image', image: settings.image },
    ...pools.flatMap(({ name, placement: { image } }) =>
      image === undefined ? [] : [{ key: `pools.${name}.image`, image }],
    ),
  ];
  const broken = used.filter(({ image }) => !IMAGE.test(image));
  if (broken.length > 0)
    return broken.map(({ key, image }) => ({
      name: 'Images',
      level: 'error',
      found: `${key} is "${image}", which is no name of an image`,
      mend: 'Write it as registry.example.com/team/name:tag, or better with @sha256: and its digest. Names are lower case.',
    }));
  const moving = used.filter(
    ({ image }) => !image.includes('@') && (image.endsWith(':latest') || !TAG.test(image)),
  );
  if (moving.length > 0)
    return [
      {
        name: 'Images',
        level: 'warning',
        found: `${listed(moving.map(({ key, image }) => `${key} ("${image}")`))} may be another image tomorrow`,
        mend: 'Name a tag that is never moved, or the digest.',
      },
    ];
  return [{ name: 'Images', level: 'ok', found: listed([...new Set(used.map(({ image }) => image))]) }];
}

const PART = '[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*';
/** Host with a port, path, tag, digest; as the distribution's reference grammar has it. */
const IMAGE = new RegExp(
  `^(?:(?:[A-Za-z0-9-]+(?:\\.[A-Za-z0-9-]+)*(?::\\d+)?)/)?${PART}(?:/${PART})*(?::[\\w][\\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?$`,
);
const TAG = /:[\w][\w.-]{0,127}$/;

interface Secret {
  readonly data?: { readonly [key: string]: string };
}

/** Whether pods find what they reach the store with. */
export async function inspectStoreAccess(inspection: Inspection): Promise<ClusterFinding[]> {
  const name = 'Store access';
  const { store } = inspection.settings;
  if (store === undefined)
    return [
      {
        name,
        level: 'warning',
        found: 'kubernetes.store is not set, so pods have no credentials of the store',
        mend: 'Set kubernetes.store to { secret: NAME } or { audience: ... } in anneal.yaml.',
      },
    ];
  if (!('secret' in store))
    return [{ name, level: 'ok', found: `a token of the pod's account for "${store.audience}"` }];
  const found = await find<Secret>(
    inspection,
    inNamespace(inspection, `secrets/${encodeURIComponent(store.secret)}`),
  );
  if (found === 'forbidden')
    return [{ name, level: 'ok', found: `Secret "${store.secret}", which this account may not see` }];
  const { accessKeyId, secretAccessKey } = STORE_SECRET_KEYS;
  const make = `kubectl -n ${inspection.connection.namespace} create secret generic ${store.secret} --from-literal=${accessKeyId}=... --from-literal=${secretAccessKey}=...`;
  if (found === 'absent')
    return [
      { name, level: 'error', found: `there is no Secret "${store.secret}"`, mend: `Make it: ${make}` },
    ];
  const lacking = [accessKeyId, secretAccessKey].filter((key) => !found.object.data?.[key]);
  return lacking.length === 0
    ? [{ name, level: 'ok', found: `Secret "${store.secret}"` }]
    : [
        {
          name,
          level: 'error',
          found: `Secret "${store.secret}" lacks ${listed(lacking.map((key) => `"${key}"`))}`,
          mend: `Make it anew: ${make}`,
        },
      ];
}

interface ServiceAccount {
  readonly metadata: {
    readonly annotations?: { readonly [name: string]: string };
    readonly labels?: { readonly [name: string]: string };
  };
}

/** What gives every container of a pod an identity at a cloud. */
const IDENTITIES = {
  'eks.amazonaws.com/role-arn': 'AWS',
  'iam.gke.io/gcp-service-account': 'Google Cloud',
  'azure.workload.identity/client-id': 'Azure',
} as const;

/**
 * Accounts of pods: they have to be there, and those of all steps must have no identity at a cloud, because the step's own code would have
 * it, too. An account that a pool lets steps name is theirs.
 */
export async function inspectIdentities(inspection: Inspection): Promise<ClusterFinding[]> {
  const name = 'Cloud identities';
  const { store } = inspection.settings;
  const shared = store && 'audience' in store ? (store.serviceAccount ?? 'default') : 'default';
  const named = inspection.pools.flatMap(({ placement }) => placement.serviceAccounts);
  const findings = await Promise.all(
    [...new Set([shared, ...named])].map(async (account): Promise<ClusterFinding[]> => {
      const path = inNamespace(inspection, `serviceaccounts/${encodeURIComponent(account)}`);
      const found = await find<ServiceAccount>(inspection, path);
      if (found === 'forbidden')
        return [{ name, level: 'ok', found: `this account may not see the account "${account}"` }];
      if (found === 'absent')
        return [
          {
            name,
            level: 'error',
            found: `there is no service account "${account}"`,
            mend:
              account === shared
                ? 'Check that the namespace exists.'
                : 'Make it, or correct serviceAccounts of the pool.',
          },
        ];
      const clouds = Object.entries(IDENTITIES).flatMap(([key, cloud]) =>
        found.object.metadata.annotations?.[key] === undefined ? [] : [cloud],
      );
      return account !== shared || clouds.length === 0
        ? []
        : [
            {
              name,
              level: 'error',
              found: `the service account "${account}" has an identity at ${listed(clouds)}, which the code of every step could use`,
              mend: 'Remove the annotation. Give Anneal the store by kubernetes.store, and a step that needs more an account of its own.',
            },
          ];
    }),
  );
  const all = findings.flat();
  return all.length > 0 ? all : [{ name, level: 'ok', found: 'none that all steps would share' }];
}
