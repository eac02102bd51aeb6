import { KubernetesApiError } from '../api-error.js';
import { inspectCapacity } from './inspect-capacity.js';
import { inspectIdentities, inspectImages, inspectStoreAccess } from './inspect-pods.js';
import { inspectNamespace, inspectPodSecurity, inspectRights } from './inspect-namespace.js';
import { inspectStoreFromPod } from './inspect-store-from-pod.js';
import type { ClusterFinding, Inspection } from './inspection.js';

/** Looks at everything that Jobs need, and leaves nothing. Where the API does not answer, that alone is said. */
export async function inspectCluster(inspection: Inspection): Promise<readonly ClusterFinding[]> {
  const reached = await inspectServer(inspection);
  const images = inspectImages(inspection);
  if (reached.level === 'error') return [reached, ...images];
  const looks = [
    inspectNamespace,
    inspectPodSecurity,
    inspectRights,
    inspectCapacity,
    inspectStoreAccess,
    inspectStoreFromPod,
    inspectIdentities,
  ];
  const found = await Promise.all(looks.map(async (look) => await look(inspection).catch(readProblem)));
  return [reached, ...found.flat(), ...images];
}

/** Restartable init containers, which pods of attempts have, came into use with it. */
const OLDEST = 29;

async function inspectServer({ transport, connection }: Inspection): Promise<ClusterFinding> {
  const name = 'Kubernetes';
  const where = `${connection.server}, context "${connection.context}"`;
  try {
    const answer = await transport.request({ method: 'GET', path: '/version', tries: 2 });
    const { gitVersion = 'of an unknown version', minor = '' } = JSON.parse(answer) as {
      readonly gitVersion?: string;
      readonly minor?: string;
    };
    if (Number.parseInt(minor, 10) < OLDEST)
      return {
        name,
        level: 'error',
        found: `${gitVersion} at ${where}; needed: 1.${OLDEST} or later`,
        mend: 'Upgrade the cluster: pods of attempts have a sidecar that older ones do not end.',
      };
    return { name, level: 'ok', found: `${gitVersion} at ${where}` };
  } catch (error) {
    if (!(error instanceof KubernetesApiError)) throw error;
    return { name, level: 'error', ...explainSilence(error, where) };
  }
}

function explainSilence(
  { status, reason, message }: KubernetesApiError,
  where: string,
): Pick<ClusterFinding, 'found' | 'mend'> {
  if (status === 401)
    return {
      found: `${where} refuses the credentials: they are wrong or have expired`,
      mend: 'Sign in again with the command line of your provider, or renew the token in the kubeconfig.',
    };
  if (reason === 'CredentialsFailed') return { found: message };
  if (/CERT|SELF_SIGNED|UNABLE_TO_VERIFY|ERR_TLS|ERR_SSL/.test(reason))
    return {
      found: `the certificate of ${where} is not trusted (${reason})`,
      mend: 'Put the CA of the cluster into certificate-authority-data of the kubeconfig.',
    };
  if (status === 0)
    return {
      found: `${where} does not answer (${reason})`,
      mend: 'Check the address of the context, the network and the VPN, and that the cluster is up.',
    };
  return { found: `${where} answers with ${status}: ${message}` };
}

function readProblem(error: unknown): ClusterFinding[] {
  if (!(error instanceof KubernetesApiError)) throw error;
  return [{ name: 'Kubernetes', level: 'error', found: error.message }];
}
