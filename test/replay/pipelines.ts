// Everything whose recorded histories must replay: the examples, and pipelines that use what the examples do not.
export { churnSweep, churnTraining } from '../../examples/churn/pipelines/index.js';
export { asks, fan, gate, outer, race, thrower } from '../testing/contract-pipelines.js';
