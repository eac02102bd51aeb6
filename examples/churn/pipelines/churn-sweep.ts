import { definePipeline, registerModel } from 'anneal';
import { computeFeatures, evaluateModel, ingest, trainModel } from './steps.js';

/** Six lines: train at several depths at once, promote the best. */
export const churnSweep = definePipeline({ name: 'churn-sweep', tags: ['churn', 'sweep'] }, async () => {
  const { data } = await ingest({ table: 'mlc_churn' });
  const { train, test } = await computeFeatures({ data });
  const tried = await Promise.all(
    [2, 3, 4].map(async (depth) => ({
      depth,
      ...(await trainModel({ train, depth }, { name: `train-depth-${depth}` })),
    })),
  );
  const judged = await Promise.all(
    tried.map(async ({ depth, model }) => ({
      depth,
      model,
      ...(await evaluateModel({ model, test }, { name: `evaluate-depth-${depth}` })),
    })),
  );
  const best = judged.reduce((a, b) => (b.metrics.values.f1 > a.metrics.values.f1 ? b : a));
  return {
    depth: best.depth,
    ...(await registerModel({
      name: 'churn-predictor',
      model: best.model,
      metrics: best.metrics,
      alias: 'champion',
    })),
  };
});
