import { readFile, stat } from 'node:fs/promises';

import { parse } from 'yaml';

import { AnnealError } from '../../core/failures.js';
import { secretClashes, secretVariable } from '../../core/secret-variable.js';
import type { SecretRef } from '../../core/step.js';

/** Where secrets are on this machine. */
export interface SecretSources {
  readonly env: NodeJS.ProcessEnv;
  /** YAML or JSON: `name: { key: value }`. Only its owner may read it. */
  readonly secretsFile?: string;
}

/**
 * The environment variables that carry a step's secrets to its supervisor: those that it names, and no other.
 * @throws AnnealError SecretMissing when one is in neither place, InvalidConfig when the file is unusable, or two of the secrets
 * share a variable.
 */
export async function readSecrets(
  env: { readonly [name: string]: string | SecretRef },
  sources: SecretSources,
): Promise<Record<string, string>> {
  const secrets = Object.values(env).flatMap((value) => (typeof value === 'string' ? [] : [value.secret]));
  const [clash] = secretClashes(secrets);
  if (clash !== undefined) throw new AnnealError('InvalidConfig', clash);
  const found: Record<string, string> = {};
  for (const secret of secrets) {
    const variable = secretVariable(secret);
    const value = sources.env[variable] ?? (await readFromFile(sources.secretsFile, secret));
    if (value === undefined) throw missing(secret, sources.secretsFile);
    found[variable] = value;
  }
  return found;
}

/** The value of one secret. @throws AnnealError SecretMissing, InvalidConfig, both with what to do. */
export async function readSecret(secret: SecretRef['secret'], sources: SecretSources): Promise<string> {
  const value = sources.env[secretVariable(secret)] ?? (await readFromFile(sources.secretsFile, secret));
  if (value === undefined || value === '') throw missing(secret, sources.secretsFile);
  return value;
}

/** Values of all secrets of this machine, for taking them out of texts; a file that cannot be used has none. */
export async function loadSecretValues({ env, secretsFile }: SecretSources): Promise<readonly string[]> {
  const inEnvironment = Object.entries(env).flatMap(([name, value]) =>
    name.startsWith('ANNEAL_SECRET_') && value !== undefined ? [value] : [],
  );
  const content: unknown =
    secretsFile === undefined
      ? undefined
      : await readFile(secretsFile, 'utf8')
          .then((text) => parse(text) as unknown)
          .catch(() => undefined);
  return [...inEnvironment, ...leaves(content)];
}

function leaves(value: unknown): string[] {
  if (value !== null && typeof value === 'object') return Object.values(value).flatMap(leaves);
  return typeof value === 'string' || typeof value === 'number' ? [String(value)] : [];
}

function missing(secret: SecretRef['secret'], file: string | undefined): AnnealError {
  const inFile = file === undefined ? '' : `, or add it to ${file}`;
  return new AnnealError(
    'SecretMissing',
    `the secret "${secret.name}" has no key "${secret.key}" on this machine. Set ${secretVariable(secret)} for the worker${inFile}.`,
  );
}

async function readFromFile(
  file: string | undefined,
  secret: SecretRef['secret'],
): Promise<string | undefined> {
  if (file === undefined) return undefined;
  const stats = await stat(file).catch(() => undefined);
  if (stats === undefined)
    throw new AnnealError(
      'InvalidConfig',
      `the secrets file ${file} does not exist. Make it, or remove secrets: from anneal.yaml.`,
    );
  if ((stats.mode & 0o077) !== 0)
    throw new AnnealError(
      'InvalidConfig',
      `the secrets file ${file} can be read by others. Run: chmod 600 ${file}`,
    );
  const content: unknown = readYaml(file, await readFile(file, 'utf8'));
  const keys = member(content, secret.name);
  const value = member(keys, secret.key);
  return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined;
}

/** The parser's own message would quote the file, so it is left out. */
function readYaml(file: string, text: string): unknown {
  try {
    return parse(text);
  } catch {
    throw new AnnealError(
      'InvalidConfig',
      `the secrets file ${file} is not YAML. Write it as "name: { key: value }".`,
    );
  }
}

function member(value: unknown, name: string): unknown {
  return value !== null && typeof value === 'object' && Object.hasOwn(value, name)
    ? Object.entries(value).find(([key]) => key === name)?.[1]
    : undefined;
}
