import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';

/** Compiles one of the project's programs into a file that plain Node starts, as it starts the compiled package. */
export async function bundleProgram(source: string): Promise<string> {
  const directory = await mkdtemp(path.join(tmpdir(), 'anneal-program-'));
  const outfile = path.join(directory, `${path.basename(source, '.ts')}.mjs`);
  const entry = fileURLToPath(new URL(source, import.meta.url));
  // Packages in CommonJS ask for Node's own modules by require.
  const banner = {
    js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
  };
  await build({
    entryPoints: [entry],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'error',
    banner,
  });
  return outfile;
}
