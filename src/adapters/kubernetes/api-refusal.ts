import { AnnealError, type FailureCode } from '../../core/failures.js';
import { KubernetesApiError } from './api-error.js';

/** What the API server's refusal of an attempt's Job means. @param namespace where it was to be made. */
export function refusalOf(error: KubernetesApiError, namespace: string): AnnealError {
  const { code, message } = explain(error, namespace);
  return new AnnealError(code, message, { cause: error });
}

/** A failure of the Kubernetes API as one of the table; anything else as it is. */
export function asAnnealError(error: unknown, namespace: string): unknown {
  return error instanceof KubernetesApiError ? refusalOf(error, namespace) : error;
}

function explain(
  { status, reason, message, causes, transient }: KubernetesApiError,
  namespace: string,
): { readonly code: FailureCode; readonly message: string } {
  const said = message.replace(/\.$/, '');
  if (transient || status === 0)
    return {
      code: 'ClusterUnavailable',
      message: `The Kubernetes API does not answer (${reason}): ${said}. What runs goes on; "anneal doctor --kubernetes" says what answers.`,
    };
  if (status === 401)
    return {
      code: 'ClusterUnavailable',
      message: `The Kubernetes API refuses this worker's credentials: ${said}. Renew them; a kubeconfig is read again by a new worker.`,
    };
  if (status === 404 && /namespaces? /.test(message))
    return {
      code: 'InvalidConfig',
      message: `Namespace "${namespace}" does not exist. Make it, or correct kubernetes.namespace in anneal.yaml.`,
    };
  if (status === 403 && /cannot \w+ resource/.test(message))
    return {
      code: 'PodRefused',
      message: `This worker may not do that in namespace "${namespace}": ${said}. Give its account the rights of k8s/base; "anneal doctor --kubernetes" says which are missing.`,
    };
  const fields = causes.flatMap(({ field }) => (field === undefined ? [] : [field]));
  const where = fields.length === 0 ? '' : ` (${[...new Set(fields)].slice(0, 5).join(', ')})`;
  return {
    code: 'PodRefused',
    message: `Kubernetes refuses the Job${where}: ${said}. Correct the settings of the step or of its pool.`,
  };
}
