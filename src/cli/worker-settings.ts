import { readFile, stat } from 'node:fs/promises';
import { digestOf } from '../core/digest.js';
import { packageVersion } from './package-version.js';

type Environment = { readonly [name: string]: string | undefined };

/**
 * A digest of everything that a worker is started with and keeps: Anneal itself, the configuration, the addresses, and the variables that
 * steps see or that lead to programs. A worker whose digest differs is started anew.
 */
export async function workerSettings(config: unknown, env: Environment): Promise<string> {
  return digestOf([config, packageVersion(), await programStamp(), settingsOf(env)]);
}

/** The variables that count, with PATH as it is without npm. */
export function settingsOf(env: Environment): readonly (readonly [string, string])[] {
  return Object.entries(env)
    .flatMap(([name, value]) => (value !== undefined && COUNTS.test(name) ? [[name, value] as const] : []))
    .map(([name, value]) => [name, name === 'PATH' ? withoutNpm(value) : value] as const)
    .sort(([left], [right]) => (left < right ? -1 : 1));
}

const COUNTS = /^(ANNEAL_|AWS_|MLFLOW_|TEMPORAL_|CUDA_VISIBLE_DEVICES$|NODE_EXTRA_CA_CERTS$|PATH$)/;

/** `npm start` and `npx anneal` put folders in front that depend on the working directory. */
function withoutNpm(value: string): string {
  return value
    .split(':')
    .filter((folder) => !/[/\\]node_modules[/\\]\.bin[/\\]?$|node-gyp-bin[/\\]?$/.test(folder))
    .join(':');
}

/** Changes when the compiled program does. */
async function programStamp(): Promise<readonly string[]> {
  const built = await readFile(new URL('../.anneal-build', import.meta.url), 'utf8').catch(() => '');
  const files = ['main.js', '../workflows/system-bundle.js'].map(async (file) => {
    const found = await stat(new URL(file, import.meta.url)).catch(() => undefined);
    return found === undefined ? '' : `${found.size} ${found.mtimeMs}`;
  });
  return [built, ...(await Promise.all(files))];
}
