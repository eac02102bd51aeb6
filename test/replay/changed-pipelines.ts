import { definePipeline, sleep } from 'anneal';
import { churnTraining as original } from '../../examples/churn/pipelines/index.js';

/** The same pipeline as somebody might deploy it over open runs: one sleep more at its start. */
export const churnTraining = definePipeline({ name: 'churn-training' }, async () => {
  await sleep('1s');
  return await original.run({ table: 'mlc_churn', threshold: 0.85, approve: false, secondsPerTree: 0 });
});
