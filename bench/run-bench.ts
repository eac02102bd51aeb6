// npm run bench [-- --quick] [-- --json]: what Anneal costs, against a hand-written Temporal loop on the same server.
// Nothing is asserted: a shared machine decides how fast it is.
import { parseArgs } from 'node:util';
import { measureCacheHits } from './cache-hits.js';
import { measureBareNode, measureHelp } from './cli-cpu.js';
import { measureHeapPerRun } from './heap-per-run.js';
import { countEventsPerStep } from './history-events.js';
import {
  against,
  counted,
  describeMachine,
  readLoad,
  renderReport,
  timed,
  type Figure,
  type Report,
} from './report.js';
import type { Sample } from './sample.js';
import { readWorkflowCode, withStack, type BenchStack } from './stack.js';
import { measureStepTimes, type StepTimes } from './step-time.js';

const { values: options } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, json: { type: 'boolean', default: false } },
});
const say = (line: string) => void process.stderr.write(`${line}\n`);
const loadBefore = readLoad();
const help = await measureHelp(options.quick ? 3 : 7);
const bareNode = await measureBareNode(3);
const { figures, temporalVersion } = await withStack(say, measure);
const report: Report = {
  date: new Date().toISOString().slice(0, 10),
  machine: describeMachine(),
  versions: `Node ${process.versions.node}, Temporal CLI ${temporalVersion}`,
  load: [loadBefore, readLoad()],
  figures: [
    ...figures,
    ...(help ? [timed('`anneal --help`, CPU', help, { unit: 'ms', target: 150 })] : []),
    timed('Node by itself, CPU', bareNode, { unit: 'ms' }),
  ],
};
process.stdout.write(`${options.json ? JSON.stringify(report, null, 2) : renderReport(report)}\n`);

async function measure(stack: BenchStack): Promise<{ figures: Figure[]; temporalVersion: string }> {
  say('counting events');
  const events = await countEventsPerStep(stack, false);
  const cacheableEvents = await countEventsPerStep(stack, true);
  say('timing steps');
  const times = await measureStepTimes(
    stack,
    options.quick ? { rounds: 3, longSteps: 1_000 } : { rounds: 9, longSteps: 10_000 },
  );
  say('timing cache hits');
  const hits = await measureCacheHits(stack, options.quick ? 3 : 9);
  say('measuring the heap');
  const heap = await measureHeapPerRun(stack, options.quick ? 20 : 60);
  const bundle = await readWorkflowCode(stack.build);
  const codeBytes = Buffer.byteLength(bundle.slice(0, bundle.lastIndexOf('//# sourceMappingURL=')));
  return {
    temporalVersion: stack.temporalVersion,
    figures: [
      counted('history events of a step', events, { unit: 'events', target: 6 }),
      counted('history events of a cacheable step', cacheableEvents, { unit: 'events', target: 7 }),
      counted('workflow bundle, code', codeBytes / 1024, { unit: 'KiB', target: 700 }),
      counted('heap of a waiting churn run', heap.churn / 1000, { unit: 'KB', target: 100 }),
      counted('heap of a waiting run of T0', heap.t0 / 1000, { unit: 'KB' }),
      ...stepFigures(times),
      timed('a whole run of 100 steps that all hit', hits.run, { unit: 'ms', target: 600 }),
      counted('history events of that run', hits.events, { unit: 'events', target: 150 }),
    ],
  };
}

function stepFigures(times: StepTimes): Figure[] {
  const { t0, t0LookUp, uncached, cacheable, t0FanOut, fanOut, t0One, one, long } = times;
  const longSample: Sample = { min: long.ms, median: long.ms, values: [long.ms] };
  const name = `${long.steps.toLocaleString('en')} steps in ${long.executions} executions`;
  return [
    timed('T0, a step of 100', t0, { unit: 'ms' }),
    timed('uncached step of 100', uncached, { unit: 'ms' }),
    against('uncached against T0', { of: uncached, to: t0 }, { target: 1.2, aim: 1.1 }),
    timed('cacheable step of 100, each look-up a miss', cacheable, { unit: 'ms' }),
    against('cacheable against T0', { of: cacheable, to: t0 }, { target: 1.35 }),
    timed('T0 with a local activity before each step', t0LookUp, { unit: 'ms' }),
    counted('that against T0: the floor of a look-up', t0LookUp.min / t0.min, { unit: 'x' }),
    timed('T0, an item of a fan-out of 100', t0FanOut, { unit: 'ms' }),
    timed('item of a fan-out of 100', fanOut, { unit: 'ms' }),
    against('fan-out against T0', { of: fanOut, to: t0FanOut }, { target: 1.3 }),
    timed('T0, a whole run of one step', t0One, { unit: 'ms' }),
    timed('a whole run of one step', one, { unit: 'ms' }),
    timed(`${name}, a step`, longSample, { unit: 'ms' }),
    // Its one run met whatever the machine did meanwhile, so it is compared with a middling short one.
    counted(`${name}, against a step of 100`, long.ms / uncached.median, { unit: 'x', target: 1.3 }),
  ];
}
