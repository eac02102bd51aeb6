/** Entry of Anneal's own bundle: workflows that belong to no project's build. Workflow types are the export names. */
export { admission as 'anneal.admission' } from './admission.js';
export { backfill as 'anneal.backfill' } from './backfill.js';
export { delivery as 'anneal.delivery' } from './delivery.js';
export { modelLane as 'anneal.model-lane' } from './model-lane.js';
export { sweeper as 'anneal.sweeper' } from './sweeper.js';
