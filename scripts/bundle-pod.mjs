// Bundles what runs in a pod beside a step, with the AWS SDK in it: no node_modules in the image, and quick to start.
import { copyFile, mkdir, rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const folder = at('../dist/pod/');

await rm(folder, { recursive: true, force: true });
await mkdir(folder, { recursive: true });
await build({
  entryPoints: ['pod-fetch', 'pod-agent', 'pod-probe'].map((name) => at(`../dist/agent/pod/${name}.js`)),
  outdir: folder,
  bundle: true,
  // Not split into chunks: esbuild then runs the AWS SDK's modules in an order in which its classes are not there yet.
  platform: 'node',
  format: 'esm',
  target: 'node20',
  minify: true,
  keepNames: true,
  legalComments: 'linked',
  logLevel: 'error',
  // Packages in CommonJS ask for Node's own modules by require.
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  },
});
await copyFile(at('../src/agent/pod/wrapper.sh'), `${folder}wrapper.sh`);
