import { runChurnOnCluster } from './support/churn-on-cluster.js';

// The second half of `npm run example:cluster`: scripts/example-cluster.mjs has started the cluster.
const { status, podSteps, versions, keys } = await runChurnOnCluster((line) => console.log(line));
console.log(
  `\n${status.runId}: ${status.state}; in pods: ${podSteps.join(', ')}; ${keys.length} objects in the bucket`,
);
for (const { version, aliases = [] } of versions)
  console.log(
    `churn-predictor version ${version} is in MLflow${aliases.length > 0 ? ` as ${aliases.join(', ')}` : ''}`,
  );
process.exitCode = status.state === 'completed' ? 0 : 1;
