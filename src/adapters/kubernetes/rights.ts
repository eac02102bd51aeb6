/** A rule of a Role, as RBAC has it. */
export interface PolicyRule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

/** What a worker of a Kubernetes pool asks of the API, in the namespace of its Jobs: exactly this. `k8s/base/role.yaml` is compared with it. */
export const WORKER_RIGHTS: readonly PolicyRule[] = [
  // patch: the time that a Job stays after its end.
  { apiGroups: ['batch'], resources: ['jobs'], verbs: ['create', 'get', 'list', 'watch', 'patch', 'delete'] },
  // delete: a stop with a grace of its own, which the Job's delete cannot give.
  { apiGroups: [''], resources: ['pods'], verbs: ['list', 'watch', 'delete'] },
  { apiGroups: [''], resources: ['pods/log'], verbs: ['get'] },
  { apiGroups: [''], resources: ['events'], verbs: ['list'] },
  // Why Kueue lets a Job wait. Where there is no Kueue, this means nothing.
  { apiGroups: ['kueue.x-k8s.io'], resources: ['workloads'], verbs: ['list'] },
];

/** What would be good to have beyond the namespace: with it, a lost node is told from a lost pod. */
export const NODE_RIGHTS: readonly PolicyRule[] = [{ apiGroups: [''], resources: ['nodes'], verbs: ['get'] }];

/** One question for the API: may this account do it? */
export interface Right {
  readonly verb: string;
  readonly resource: string;
  readonly subresource?: string;
}

/** The rules, one by one. */
export function listRights(rules: readonly PolicyRule[]): readonly Right[] {
  return rules.flatMap(({ resources, verbs }) =>
    resources.flatMap((written) => {
      const [resource = '', subresource] = written.split('/');
      return verbs.map((verb) => ({ verb, resource, ...(subresource === undefined ? {} : { subresource }) }));
    }),
  );
}
