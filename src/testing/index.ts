export { runPipeline, type TestOptions, type TestRun } from './run-pipeline.js';
export {
  fakeStep,
  fakeTask,
  fakePipeline,
  type Fake,
  type FakeCall,
  type FakeOutputs,
  type StepBehaviour,
} from './fakes.js';
export { checkHistories, type HistoriesOptions } from './check-histories.js';
export { succeed, fail, failTimes, type FakeOutcome } from './outcomes.js';
export { approve, reject, type Decision, type Decisions } from './decisions.js';
export type { RecordedCall } from './recorded-calls.js';
export type { ExistingModel, Promotion, Registration } from './made-up-registry.js';
export type { LoggedLine, SentMessage } from './test-world.js';
