import { runChurnOnCluster } from './support/churn-on-cluster.js';

// The second half of `npm run example:cluster`: scripts/example-cluster.mjs has started the cluster.
const { status, podSteps, champion, keys } = await runChurnOnCluster((line) => console.log(line));
console.log(
  `\n${status.runId}: ${status.state}; in pods: ${podSteps.join(', ')}; ${keys.length} objects in the bucket`,
);
console.log(`churn-predictor: version ${champion ?? '-'} is champion in MLflow`);
process.exitCode = status.state === 'completed' ? 0 : 1;
