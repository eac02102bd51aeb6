// `npm run example:cluster`: the churn example as Jobs on a real Kubernetes, from nothing. Says how long the cluster took.
import { bootstrap, runInherited, runScript, say, secondsSince, SetupFailure } from './bootstrap.mjs';
import {
  clusterPlaces,
  findClusterObstacle,
  isClusterUp,
  loadImages,
  prepareCluster,
  startCluster,
  stopCluster,
  withCluster,
} from './test-cluster.mjs';
import { ensureTestEnvironments } from './test-environments.mjs';

await runScript(async () => {
  const obstacle = findClusterObstacle();
  if (obstacle !== undefined)
    throw new SetupFailure(`A cluster cannot run here: ${obstacle.replace('they need', 'it needs')}.`);
  const startedAt = performance.now();
  await bootstrap();
  // One after the other: both compile.
  const env = await ensureTestEnvironments();
  return await withCluster(async () => {
    const preparedAt = performance.now();
    const wasUp = await isClusterUp();
    if (wasUp) await loadImages();
    else await prepareCluster();
    const prepared = secondsSince(preparedAt);
    const upIn = wasUp ? 'it was up' : `${(await startCluster({ owned: true })).toFixed(1)} s`;
    say(`Cluster: binaries and images ${prepared}, start ${upIn}\n`);
    try {
      const { state } = await clusterPlaces();
      const code = await runInherited(process.execPath, ['--import', 'tsx', 'test/cluster/example.ts'], {
        ...env,
        ANNEAL_TEST_CLUSTER: state,
      });
      say(`\nCluster: binaries and images ${prepared}, start ${upIn}; everything ${secondsSince(startedAt)}`);
      return code;
    } finally {
      if (!wasUp) await stopCluster();
    }
  });
});
