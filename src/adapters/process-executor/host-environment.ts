/**
 * What a step's command may see of the environment of the machine: where programs are, language, time zone, certificates, proxies and
 * CUDA's paths. Nothing else: credentials of the worker stay with the worker.
 */
export function hostEnvironment(env: NodeJS.ProcessEnv): Record<string, string> {
  const allowed: Record<string, string> = {};
  for (const [name, value] of Object.entries(env))
    if (value !== undefined && (NAMES.has(name) || PREFIX.test(name))) allowed[name] = value;
  return { PATH: '/usr/local/bin:/usr/bin:/bin', ...allowed };
}

const NAMES = new Set([
  'PATH',
  'LANG',
  'LANGUAGE',
  'TZ',
  'CURL_CA_BUNDLE',
  'REQUESTS_CA_BUNDLE',
  'NODE_EXTRA_CA_CERTS',
  'HTTP_PROXY',
  'HTTPS_PROXY',
  'ALL_PROXY',
  'NO_PROXY',
  'http_proxy',
  'https_proxy',
  'all_proxy',
  'no_proxy',
  'LD_LIBRARY_PATH',
  'CUDA_HOME',
  'CUDA_PATH',
  'CUDA_ROOT',
  'CUDNN_PATH',
  'NCCL_HOME',
]);
const PREFIX = /^(LC_|SSL_CERT_)/;
