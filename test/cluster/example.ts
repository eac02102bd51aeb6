import { runChurnOnCluster } from './support/churn-on-cluster.js';

// Ctrl-C reaches what it runs, too, and so ends it: what it made is then taken away.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => undefined);

// The second half of `npm run example:cluster`: scripts/example-cluster.mjs has started the cluster.
const { status, podSteps, champion, keys } = await runChurnOnCluster((line) => console.log(line));
console.log(
  `\n${status.runId}: ${status.state}; in pods: ${podSteps.join(', ')}; ${keys.length} objects in the bucket`,
);
console.log(`churn-predictor: version ${champion ?? '-'} is champion in MLflow`);
process.exitCode = status.state === 'completed' ? 0 : 1;
