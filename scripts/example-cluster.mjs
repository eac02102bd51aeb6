// `npm run example:cluster`: the churn example as Jobs on a real Kubernetes, from nothing. Says how long the cluster took.
import { bootstrap, runInherited, runScript, say, secondsSince, SetupFailure } from './bootstrap.mjs';
import { findClusterObstacle, withCluster } from './test-cluster.mjs';
import { ensureTestEnvironments } from './test-environments.mjs';

await runScript(async () => {
  const obstacle = findClusterObstacle();
  if (obstacle !== undefined)
    throw new SetupFailure(`A cluster cannot run here: ${obstacle.replace('they need', 'it needs')}.`);
  const startedAt = performance.now();
  await bootstrap();
  // One after the other: both compile.
  const environment = await ensureTestEnvironments();
  return await withCluster(async ({ how, env }) => {
    say(`Cluster: ${how}\n`);
    // The example takes away what it made before it ends.
    for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => {});
    const code = await runInherited(process.execPath, ['--import', 'tsx', 'test/cluster/example.ts'], {
      ...environment,
      ...env,
      // Its advice on versions of Node is not for who runs an example.
      AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true',
    });
    say(`\nCluster: ${how}; everything ${secondsSince(startedAt)}`);
    return code;
  });
});
