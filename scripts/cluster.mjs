// `node scripts/cluster.mjs`: the Kubernetes of the tests, by hand (test/cluster/README.md).
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';

import { bootstrap, root, runScript, say, SetupFailure } from './bootstrap.mjs';
import {
  clusterPlaces,
  findClusterObstacle,
  isClusterUp,
  loadImages,
  prepareCluster,
  startCluster,
  stopCluster,
} from './test-cluster.mjs';

const USAGE = `node scripts/cluster.mjs up             builds what is missing, starts the cluster, prints its kubeconfig
node scripts/cluster.mjs down           ends it
node scripts/cluster.mjs prepare        builds what is missing
node scripts/cluster.mjs load NAME...   makes images anew where they changed (busybox, python, anneal) and adds them to the cluster
node scripts/cluster.mjs kubectl ...    kubectl as an administrator`;

const COMMANDS = {
  async up() {
    const { state } = await clusterPlaces();
    if (!(await isClusterUp())) {
      await prepareCluster();
      say(`Test cluster: up after ${(await startCluster({ owned: false })).toFixed(1)} s`);
    }
    console.log(path.join(state, 'admin.kubeconfig'));
  },
  async down() {
    await stopCluster();
  },
  async prepare([option]) {
    // A process group of its own, with compilers in it.
    if (option === '--in-background') process.once('SIGTERM', () => process.kill(0, 'SIGKILL'));
    await prepareCluster();
  },
  async load(names) {
    await loadImages(names.length > 0 ? names : ['anneal']);
  },
  async kubectl(args) {
    const { bin, state } = await clusterPlaces();
    const kubeconfig = path.join(state, 'admin.kubeconfig');
    const { status } = spawnSync(path.join(bin, 'kubectl'), ['--kubeconfig', kubeconfig, ...args], {
      stdio: 'inherit',
    });
    return status ?? 1;
  },
};

await runScript(async () => {
  const [name = '', ...args] = process.argv.slice(2);
  if (!Object.hasOwn(COMMANDS, name)) throw new SetupFailure(USAGE);
  const obstacle = findClusterObstacle();
  if (obstacle !== undefined) throw new SetupFailure(`Cluster tests cannot run here: ${obstacle}.`);
  // Whatever is compiled will do: who works on the sources may not want them compiled now.
  if (!existsSync(path.join(root, 'dist', 'adapters', 'process-lock.js'))) await bootstrap();
  return (await COMMANDS[name](args)) ?? 0;
});
