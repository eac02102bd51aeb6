// Bundles Anneal's own workflows once, so that no worker spends a second on it at its start; then what runs in pods.
import { rename, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';

const compiled = (name) => fileURLToPath(new URL(`../dist/workflows/${name}`, import.meta.url));
const { code } = await bundleWorkflowCode({
  workflowsPath: compiled('system.js'),
  logger: new DefaultLogger('ERROR'),
});
await writeFile(compiled('system-bundle.js.tmp'), code);
await rename(compiled('system-bundle.js.tmp'), compiled('system-bundle.js'));

await import('./bundle-pod.mjs');
