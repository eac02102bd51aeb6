import { reviewAccess } from '../api.js';
import { listRights, NODE_RIGHTS, WORKER_RIGHTS, type Right } from '../rights.js';
import { find, listed, type ClusterFinding, type Inspection } from './inspection.js';

interface Namespace {
  readonly metadata: { readonly labels?: { readonly [name: string]: string } };
}

const pathOf = ({ connection }: Inspection) =>
  `/api/v1/namespaces/${encodeURIComponent(connection.namespace)}`;

/** Whether the namespace is there. */
export async function inspectNamespace(inspection: Inspection): Promise<ClusterFinding[]> {
  const name = 'Namespace';
  const { namespace } = inspection.connection;
  const found = await find<Namespace>(inspection, pathOf(inspection));
  if (found === 'absent')
    return [
      {
        name,
        level: 'error',
        found: `"${namespace}" does not exist`,
        mend: 'Make it (k8s/base has one), or correct kubernetes.namespace in anneal.yaml.',
      },
    ];
  // Whether it is there cannot be known without the right to look; the other answers show it.
  return [
    {
      name,
      level: 'ok',
      found: found === 'forbidden' ? `"${namespace}", as anneal.yaml names it` : `"${namespace}"`,
    },
  ];
}

const ENFORCE = 'pod-security.kubernetes.io/enforce';

/** Which Pod Security level the namespace enforces. */
export async function inspectPodSecurity(inspection: Inspection): Promise<ClusterFinding[]> {
  const name = 'Pod Security';
  const found = await find<Namespace>(inspection, pathOf(inspection));
  if (found === 'absent') return [];
  if (found === 'forbidden')
    return [{ name, level: 'ok', found: 'this account may not see what the namespace enforces' }];
  const level = found.object.metadata.labels?.[ENFORCE];
  if (level === 'restricted') return [{ name, level: 'ok', found: 'restricted is enforced' }];
  return [
    {
      name,
      level: 'warning',
      found: `${level === undefined ? 'nothing' : `"${level}"`} is enforced; Anneal's pods keep to restricted, others need not`,
      mend: `kubectl label namespace ${inspection.connection.namespace} ${ENFORCE}=restricted`,
    },
  ];
}

/** What a worker has no use for, and what would let a step's author read more than is theirs. */
const TOO_MUCH: readonly Right[] = [
  { verb: 'get', resource: 'secrets' },
  { verb: 'create', resource: 'pods' },
  { verb: 'create', resource: 'pods', subresource: 'exec' },
];

/** Whether this account may do all that workers do; in a pod also whether it may do more. */
export async function inspectRights({ transport, connection }: Inspection): Promise<ClusterFinding[]> {
  const name = 'Rights';
  const { namespace, context } = connection;
  const may = async (right: Right) => await reviewAccess(transport, { ...right, namespace });
  const missing = await those(listRights(WORKER_RIGHTS), async (right) => !(await may(right)));
  if (missing.length > 0)
    return [
      {
        name,
        level: 'error',
        found: `this account may not ${listed(missing.map(describe))} in "${namespace}"`,
        mend: 'Bind the Role of k8s/base/role.yaml to the account that workers use.',
      },
    ];
  const more = context === 'in-cluster' ? await those(TOO_MUCH, may) : [];
  if (more.length > 0)
    return [
      {
        name,
        level: 'warning',
        found: `this account may also ${listed(more.map(describe))}, which no worker needs`,
        mend: 'Bind it to the Role of k8s/base/role.yaml alone.',
      },
    ];
  const nodes = await those(
    listRights(NODE_RIGHTS),
    async (right) => !(await reviewAccess(transport, { ...right })),
  );
  return [
    {
      name,
      level: 'ok',
      found: `all that workers need${nodes.length === 0 ? '' : '; it may not see nodes, so that a lost node is told as a lost pod'}`,
    },
  ];
}

async function those(rights: readonly Right[], is: (right: Right) => Promise<boolean>): Promise<Right[]> {
  const answers = await Promise.all(rights.map(is));
  return rights.filter((_, index) => answers[index]);
}

function describe({ verb, resource, subresource }: Right): string {
  return `${verb} ${resource}${subresource === undefined ? '' : `/${subresource}`}`;
}
