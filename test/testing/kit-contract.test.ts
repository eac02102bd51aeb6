import { describe } from 'node:test';
import { runPipeline } from '../../src/testing/index.js';
import { POOLS, runContract } from './contract.js';

describe('the testing kit keeps the contract of a run', () => {
  runContract(async ({ pipeline, parameters, fakes = [], decision, champion, cancelled }) => {
    const run = await runPipeline(pipeline as never, {
      parameters: parameters ?? {},
      fakes,
      pools: POOLS,
      ...(decision === undefined ? {} : { decisions: { 'go-live': decision } }),
      ...(champion === undefined ? {} : { models: { churn: champion } }),
      ...(cancelled ? { cancelAfter: '1m' } : {}),
    });
    const steps = run.calls.filter((call) => call.kind === 'step' && call.pipeline === pipeline.pipelineName);
    return {
      state: run.state,
      result: run.state === 'completed' || run.state === 'not-promoted' ? (run.result as never) : undefined,
      code: run.failure?.code,
      message: run.failure?.message,
      steps: steps.map((call) => `${call.name}/${call.attempts}/${call.state}`),
      notifications: run.notifications.map(
        ({ subject, text }) => `${subject.replace(/: test$/, '')} | ${text}`,
      ),
      memory: steps.at(-1)?.resources.memory,
    };
  });
});
