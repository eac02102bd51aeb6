import { access } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import type { RequestOptions } from 'node:https';
import type { KubeConfig } from '@kubernetes/client-node';
import { AnnealError } from '../../core/failures.js';
import { didYouMean } from '../../core/nearest-name.js';

/** What a cluster is found by. */
export interface KubeConfigOptions {
  /** A context of the kubeconfig; absent: its current one. A pod without a kubeconfig uses its service account. */
  readonly context?: string;
  /** Absent: the context's, else `default`. */
  readonly namespace?: string;
  readonly env: { readonly [name: string]: string | undefined };
  /** Where a pod finds its service account; for tests. */
  readonly serviceAccountDir?: string;
}

/** How the API server is spoken to over TLS. */
export interface KubeTls {
  readonly ca?: string | Buffer;
  readonly cert?: string | Buffer;
  readonly key?: string | Buffer;
  readonly servername?: string;
  readonly rejectUnauthorized?: boolean;
}

/** What every request carries. */
export interface KubeCredentials {
  readonly headers: { readonly [name: string]: string };
  readonly tls: KubeTls;
}

/** An API server, and who is asking. */
export interface KubeConnection {
  /** URL without a slash at the end. */
  readonly server: string;
  readonly proxyUrl?: string;
  /** The context's name; `in-cluster` for a pod's service account. */
  readonly context: string;
  readonly namespace: string;
  /** Read again from files and plugins after half a minute. @throws AnnealError InvalidConfig. */
  credentials(): Promise<KubeCredentials>;
  /** Forgets credentials that were refused, so that the next are read from their source. */
  renew(): void;
}

const SERVICE_ACCOUNT_DIR = '/var/run/secrets/kubernetes.io/serviceaccount';
/** Credentials are good for so long without another look at file, plugin or identity provider. */
const FRESH_MS = 30_000;
/** A plugin that asks a person, or hangs, is not waited for. */
const PLUGIN_MS = 60_000;

/**
 * Finds the cluster: `KUBECONFIG`, else `~/.kube/config`, else the service account of this pod.
 * @throws AnnealError InvalidConfig: no kubeconfig, an unreadable one, no such context.
 */
export async function loadKubeConnection(options: KubeConfigOptions): Promise<KubeConnection> {
  const first = await loadConfig(options);
  const cluster = first.getCurrentCluster();
  const context = first.getCurrentContext();
  if (!cluster?.server)
    throw invalid(`Context "${context}" of the kubeconfig names no cluster that is in it. Correct the file.`);
  const namespace = options.namespace ?? first.getContextObject(context)?.namespace ?? 'default';
  let loaded: Promise<KubeConfig> | undefined = Promise.resolve(first);
  let current: { readonly at: number; readonly credentials: Promise<KubeCredentials> } | undefined;
  return {
    server: cluster.server.replace(/\/+$/, ''),
    ...(cluster.proxyUrl ? { proxyUrl: cluster.proxyUrl } : {}),
    context,
    namespace,
    credentials: async () => {
      const now = performance.now();
      if (current === undefined || now - current.at > FRESH_MS) {
        loaded ??= loadConfig(options);
        current = { at: now, credentials: loaded.then(readCredentials) };
        current.credentials.catch(() => {
          current = undefined;
          loaded = undefined;
        });
      }
      return await current.credentials;
    },
    renew: () => {
      current = undefined;
      loaded = undefined;
    },
  };
}

async function loadConfig(options: KubeConfigOptions): Promise<KubeConfig> {
  const { KubeConfig: Config } = await import('@kubernetes/client-node');
  const files = await findFiles(options.env);
  const config = new Config();
  if (files.length === 0) return await loadServiceAccount(config, options);
  for (const [index, file] of files.entries()) {
    try {
      const one = index === 0 ? config : new Config();
      one.loadFromFile(file);
      if (index > 0) config.mergeConfig(one, true);
    } catch (error) {
      throw invalid(`The kubeconfig ${file} cannot be used: ${sentence(error)}. Correct the file.`, error);
    }
  }
  chooseContext(config, files, options.context);
  return withUser(config);
}

/** Files of `KUBECONFIG` that exist, else `~/.kube/config` if it does. */
async function findFiles(env: KubeConfigOptions['env']): Promise<string[]> {
  const named = (env['KUBECONFIG'] ?? '').split(path.delimiter).filter((file) => file !== '');
  if (named.length === 0) {
    const file = path.join(env['HOME'] || homedir(), '.kube', 'config');
    return (await exists(file)) ? [file] : [];
  }
  const present = await Promise.all(named.map(exists));
  const files = named.filter((_, index) => present[index]);
  if (files.length > 0) return files;
  throw invalid(
    `KUBECONFIG names ${named.join(', ')}, which cannot be read. Correct the variable, or unset it to use ~/.kube/config.`,
  );
}

async function loadServiceAccount(config: KubeConfig, options: KubeConfigOptions): Promise<KubeConfig> {
  const { env, serviceAccountDir = SERVICE_ACCOUNT_DIR } = options;
  const host = env['KUBERNETES_SERVICE_HOST'];
  const inPod = host && (await exists(path.join(serviceAccountDir, 'token')));
  if (!inPod)
    throw invalid(
      "There is no kubeconfig, so no cluster is known. Set KUBECONFIG, write ~/.kube/config (your provider's command line does it), or run in a pod with a service account.",
    );
  const server = `https://${host.includes(':') ? `[${host}]` : host}:${env['KUBERNETES_SERVICE_PORT'] ?? '443'}`;
  const { readFile } = await import('node:fs/promises');
  const namespace = (
    await readFile(path.join(serviceAccountDir, 'namespace'), 'utf8').catch(() => '')
  ).trim();
  config.loadFromOptions({
    clusters: [
      { name: IN_CLUSTER, server, caFile: path.join(serviceAccountDir, 'ca.crt'), skipTLSVerify: false },
    ],
    users: [
      {
        name: IN_CLUSTER,
        authProvider: { name: 'tokenFile', config: { tokenFile: path.join(serviceAccountDir, 'token') } },
      },
    ],
    contexts: [
      { name: IN_CLUSTER, cluster: IN_CLUSTER, user: IN_CLUSTER, ...(namespace === '' ? {} : { namespace }) },
    ],
    currentContext: IN_CLUSTER,
  });
  return config;
}

const IN_CLUSTER = 'in-cluster';

function chooseContext(config: KubeConfig, files: readonly string[], wanted: string | undefined): void {
  const names = config.getContexts().map((context) => context.name);
  const where = files.join(', ');
  const has = names.length === 0 ? 'it has none' : `it has ${names.map((name) => `"${name}"`).join(', ')}`;
  const chosen = wanted ?? config.getCurrentContext();
  if (!chosen)
    throw invalid(
      `The kubeconfig ${where} has no current context (${has}). Choose one with "kubectl config use-context", or set kubernetes.context in anneal.yaml.`,
    );
  if (!names.includes(chosen))
    throw invalid(
      `There is no context "${chosen}" in the kubeconfig ${where}; ${has}.${didYouMean(chosen, names)} Correct ${wanted === undefined ? 'current-context there' : 'kubernetes.context in anneal.yaml'}.`,
    );
  config.setCurrentContext(chosen);
}

/** The client applies nothing of the cluster, not even its CA, where the context names no user. */
function withUser(config: KubeConfig): KubeConfig {
  if (config.getCurrentUser()) return config;
  const context = config.getContextObject(config.getCurrentContext());
  if (context) {
    config.users.push({ name: ANONYMOUS });
    Object.assign(context, { user: ANONYMOUS });
  }
  return config;
}

const ANONYMOUS = 'anonymous';

async function readCredentials(config: KubeConfig): Promise<KubeCredentials> {
  // It refuses plain HTTP unless told that there is no certificate to verify.
  const cluster = config.getCurrentCluster();
  if (cluster?.server.startsWith('http:')) Object.assign(cluster, { skipTLSVerify: true });
  const options: RequestOptions = { headers: {} };
  try {
    await within(PLUGIN_MS, config.applyToHTTPSOptions(options));
  } catch (error) {
    const user = config.getCurrentUser();
    const command = (user?.exec as { readonly command?: string } | undefined)?.command;
    throw invalid(
      `The credentials of context "${config.getCurrentContext()}" cannot be had${command === undefined ? '' : ` from "${command}"`}: ${sentence(error)}. Sign in again, or correct the kubeconfig.`,
      error,
    );
  }
  const { auth, ca, cert, key, servername, rejectUnauthorized } = options;
  const headers = Object.entries((options.headers ?? {}) as { [name: string]: unknown }).map(
    ([name, value]) => [name.toLowerCase(), String(value).trim()] as const,
  );
  const basic = auth ? { authorization: `Basic ${Buffer.from(auth).toString('base64')}` } : {};
  return {
    headers: { ...basic, ...Object.fromEntries(headers) },
    tls: {
      ...(ca ? { ca: ca as Buffer } : {}),
      ...(cert ? { cert: cert as Buffer } : {}),
      ...(key ? { key: key as Buffer } : {}),
      ...(servername ? { servername } : {}),
      ...(rejectUnauthorized === undefined ? {} : { rejectUnauthorized }),
    },
  };
}

async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ms / 1000} s`)), ms);
  });
  return await Promise.race([work, late]).finally(() => clearTimeout(timer));
}

async function exists(file: string): Promise<boolean> {
  return await access(file).then(
    () => true,
    () => false,
  );
}

function sentence(error: unknown): string {
  // The client trips over what has no clusters, contexts and users.
  if (error instanceof TypeError) return 'it is no kubeconfig';
  const said = error instanceof Error ? error.message : String(error);
  return (said.trim().split('\n')[0] ?? '').replace(/[.\s]+$/, '') || 'it gave no reason';
}

function invalid(message: string, cause?: unknown): AnnealError {
  return new AnnealError('InvalidConfig', message, cause === undefined ? {} : { cause });
}
