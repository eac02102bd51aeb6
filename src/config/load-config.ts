import { readFile, realpath, stat } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { slug } from '../core/attempt.js';
import { AnnealError } from '../core/failures.js';
import { didYouMean } from '../core/nearest-name.js';
import { parseApproverKey } from './approver-keys.js';
import { readRetention } from '../core/retention.js';
import { isS3Uri } from '../core/store-location.js';
import type { S3Settings, StoreLocation } from '../core/store-location.js';
import type { ConfigFile } from './config-schema.js';
import { parseConfig } from './parse-config.js';
import { resolveNotify } from './resolve-notify.js';
import { resolveKubernetes, resolvePools } from './resolve-pools.js';
import type { ProjectConfig } from './project-config.js';

/** Name of the file that makes a directory a project. */
export const CONFIG_FILE = 'anneal.yaml';

/** Environment as `process.env` has it. */
export type Environment = { readonly [name: string]: string | undefined };

/**
 * Finds, reads and checks a project's anneal.yaml; the environment beats the file.
 * @param options `path`: the file, or its directory, instead of a search from `cwd` upward.
 * @throws AnnealError InvalidConfig: one sentence with file, line and column, key, found against allowed, next step.
 */
export async function loadConfig(options: {
  readonly cwd: string;
  readonly env: Environment;
  readonly path?: string;
}): Promise<ProjectConfig> {
  const found =
    options.path === undefined
      ? await findUpward(options.cwd)
      : await namedFile(path.resolve(options.cwd, options.path));
  // Bundlers report real paths; one spelling of the root keeps every comparison simple.
  const file = path.join(await realpath(path.dirname(found)), path.basename(found));
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new AnnealError(
      'InvalidConfig',
      `${file} cannot be read: ${(cause as Error).message}. Make it readable for this user.`,
      { cause },
    );
  });
  const shown = path.relative(options.cwd, found);
  return resolveConfig(parseConfig(text, shown.startsWith('..') ? file : shown), file, options.env);
}

async function findUpward(cwd: string): Promise<string> {
  for (let dir = path.resolve(cwd); ; dir = path.dirname(dir)) {
    const file = path.join(dir, CONFIG_FILE);
    if (await isFile(file)) return file;
    if (dir === path.dirname(dir)) break;
  }
  throw new AnnealError(
    'InvalidConfig',
    `No ${CONFIG_FILE} in ${path.resolve(cwd)} or a directory above it. Change to a project's directory, or make a project with: anneal init DIR`,
  );
}

async function namedFile(given: string): Promise<string> {
  const found = await stat(given).catch(() => undefined);
  const file = found?.isDirectory() ? path.join(given, CONFIG_FILE) : given;
  if (await isFile(file)) return file;
  throw new AnnealError(
    'InvalidConfig',
    `${file} does not exist. Name an ${CONFIG_FILE} or the directory that holds one.`,
  );
}

async function isFile(file: string): Promise<boolean> {
  return stat(file).then(
    (found) => found.isFile(),
    () => false,
  );
}

function resolveConfig(written: ConfigFile, file: string, env: Environment): ProjectConfig {
  const root = path.dirname(file);
  const kubernetes = resolveKubernetes(written);
  return {
    root,
    file,
    project: written.project ?? slug(path.basename(root), 63),
    pipelines: insideProject(root, 'pipelines', written.pipelines ?? 'pipelines/index.ts'),
    ...(written.activities === undefined
      ? {}
      : { activities: insideProject(root, 'activities', written.activities) }),
    pools: resolvePools(written.pools ?? { cpu: {}, gpu: { gpu: 1 } }),
    ...(kubernetes === undefined ? {} : { kubernetes }),
    store: locateStore(root, written, env),
    builds: locateBuilds(written, env),
    data: { allowHosts: written.data?.allowHosts ?? [], s3: resolveS3(written.s3, env) },
    ...resolvePeople(written, file),
    ...resolveNotify(written, file),
    retention: readRetention(written.retention),
    ...(written.secrets === undefined ? {} : { secrets: path.resolve(root, written.secrets) }),
    ...resolveServers(written, env),
  };
}

function resolvePeople(
  { approvers = {}, groups = {} }: ConfigFile,
  file: string,
): Pick<ProjectConfig, 'approvers' | 'groups'> {
  for (const [group, members] of Object.entries(groups)) {
    if (Object.hasOwn(approvers, group))
      throw new AnnealError(
        'InvalidConfig',
        `"${group}" in ${file} is both an approver and a group; rename one of the two.`,
      );
    const unknown = members.find((member) => !Object.hasOwn(approvers, member));
    if (unknown !== undefined)
      throw new AnnealError(
        'InvalidConfig',
        `Group "${group}" in ${file} names "${unknown}", who is not under approvers:.${didYouMean(unknown, Object.keys(approvers))} List them there, or take the name out.`,
      );
  }
  const people = Object.entries(approvers).map(([name, { key, keys = [], email }]) => ({
    name,
    keys: [...(key === undefined ? [] : [key]), ...keys].flatMap((text) => parseApproverKey(text) ?? []),
    ...(email === undefined ? {} : { email }),
  }));
  refuseSharedKey(people, file);
  return { approvers: people, groups };
}

/** Whoever holds a key that stands under two names would count as two people. */
function refuseSharedKey(people: ProjectConfig['approvers'], file: string): void {
  const owners = new Map<string, string>();
  for (const { name, keys } of people)
    for (const key of keys) {
      const other = owners.get(key) ?? name;
      if (other !== name)
        throw new AnnealError(
          'InvalidConfig',
          `"${other}" and "${name}" under approvers: in ${file} have the same key, so one person could decide as both. Give each their own.`,
        );
      owners.set(key, name);
    }
}

function resolveServers(
  written: ConfigFile,
  env: Environment,
): Pick<ProjectConfig, 'mlflow' | 'temporal' | 'smtp'> {
  const mlflowUri = fromEnvironment(env, 'MLFLOW_TRACKING_URI') ?? written.mlflow?.uri;
  const stepCredentials = written.mlflow?.stepCredentials;
  const address = fromEnvironment(env, 'TEMPORAL_ADDRESS') ?? written.temporal?.address;
  const uiUrl = written.temporal?.uiUrl;
  return {
    mlflow: {
      ...(mlflowUri === undefined ? {} : { uri: withoutSlash(mlflowUri) }),
      ...(stepCredentials === undefined ? {} : { stepCredentials }),
    },
    temporal: {
      ...(address === undefined ? {} : { address }),
      namespace: fromEnvironment(env, 'TEMPORAL_NAMESPACE') ?? written.temporal?.namespace ?? 'default',
      ...(uiUrl === undefined ? {} : { uiUrl: withoutSlash(uiUrl) }),
    },
    smtp: resolveSmtp(written.smtp, env),
  };
}

function resolveSmtp(written: ConfigFile['smtp'], env: Environment): ProjectConfig['smtp'] {
  const url = fromEnvironment(env, 'ANNEAL_SMTP_URL') ?? written?.url;
  const { from, secret } = written ?? {};
  return {
    ...(url === undefined ? {} : { url }),
    ...(from === undefined ? {} : { from }),
    ...(secret === undefined ? {} : { secret }),
  };
}

function fromEnvironment(env: Environment, name: string): string | undefined {
  const value = env[name];
  return value === undefined || value === '' ? undefined : value;
}

function insideProject(root: string, key: string, written: string): string {
  const resolved = path.resolve(root, written);
  const relative = path.relative(root, resolved);
  if (relative === '' || relative.startsWith('..') || path.isAbsolute(relative))
    throw new AnnealError(
      'InvalidConfig',
      `${key} in ${path.join(root, CONFIG_FILE)} is "${written}", which is outside the project; it must be a file below ${root}. Move the file, or move ${CONFIG_FILE} up.`,
    );
  return resolved;
}

function locateStore(root: string, written: ConfigFile, env: Environment): StoreLocation {
  const store = written.store ?? '.anneal/local/store';
  if (isS3Uri(store)) return { root: withoutSlash(store), s3: resolveS3(written.s3, env) };
  return { root: store.startsWith('file://') ? fileURLToPath(store) : path.resolve(root, store) };
}

/** Local servers and their workers share the project's directory: what is tried there changes nothing for the workers of a cluster. */
function locateBuilds(written: ConfigFile, env: Environment): ProjectConfig['builds'] {
  const builds = fromEnvironment(env, 'ANNEAL_BUILDS') ?? written.builds ?? 'directory';
  if (builds !== 'store' && builds !== 'directory')
    throw new AnnealError(
      'InvalidConfig',
      `ANNEAL_BUILDS is "${builds}"; it must be store or directory. Change it, or unset it for what ${CONFIG_FILE} says.`,
    );
  const isExternal = (fromEnvironment(env, 'TEMPORAL_ADDRESS') ?? written.temporal?.address) !== undefined;
  return isExternal ? builds : 'directory';
}

/** AWS's variables beat the file, which beats what is set for MLflow. The rest of AWS's settings its SDK reads by itself. */
function resolveS3(written: ConfigFile['s3'], env: Environment): S3Settings {
  const ignored = fromEnvironment(env, 'AWS_IGNORE_CONFIGURED_ENDPOINT_URLS') === 'true';
  const endpoint =
    (ignored
      ? undefined
      : (fromEnvironment(env, 'AWS_ENDPOINT_URL_S3') ?? fromEnvironment(env, 'AWS_ENDPOINT_URL'))) ??
    written?.endpoint ??
    fromEnvironment(env, 'MLFLOW_S3_ENDPOINT_URL');
  const region =
    fromEnvironment(env, 'AWS_REGION') ?? fromEnvironment(env, 'AWS_DEFAULT_REGION') ?? written?.region;
  const forcePathStyle = written?.forcePathStyle;
  return {
    ...(endpoint === undefined ? {} : { endpoint: withoutSlash(endpoint) }),
    ...(region === undefined ? {} : { region }),
    ...(forcePathStyle === undefined ? {} : { forcePathStyle }),
  };
}

function withoutSlash(url: string): string {
  return url.replace(/\/+$/, '');
}
