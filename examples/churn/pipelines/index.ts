export { churnTraining } from './churn-training.js';
export { churnSweep } from './churn-sweep.js';
