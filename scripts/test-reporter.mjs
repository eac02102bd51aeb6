// One line per file, everything about a failure, and the counts as JSON in the file that ANNEAL_TEST_SUMMARY names.
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { inspect } from 'node:util';

export default async function* report(events) {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  // What files print arrives when it is printed, results file by file.
  const outputs = new Map();
  let file = newFile(undefined);
  for await (const { type, data } of events) {
    if (data?.file !== undefined && data.file !== file.name && OF_A_FILE.has(type)) {
      yield* finish(file, outputs);
      file = newFile(data.file);
    }
    if (type === 'test:stdout' || type === 'test:stderr') {
      outputs.set(data.file, (outputs.get(data.file) ?? '') + data.message);
    }
    if (type === 'test:start') file.titles[data.nesting] = data.name;
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    const outcome = classify(type, data);
    if (data.nesting === 0) file.durationMs += data.details?.duration_ms ?? 0;
    if (outcome === undefined) continue;
    counts[outcome] += 1;
    file[outcome] += 1;
    if (outcome === 'failed') file.failures.push(describeFailure(file.titles.slice(0, data.nesting), data));
  }
  yield* finish(file, outputs);
  if (process.env.ANNEAL_TEST_SUMMARY) writeFileSync(process.env.ANNEAL_TEST_SUMMARY, JSON.stringify(counts));
}

const OF_A_FILE = new Set(['test:start', 'test:pass', 'test:fail']);

function newFile(name) {
  return {
    name,
    durationMs: 0,
    passed: 0,
    failed: 0,
    skipped: 0,
    titles: [],
    failures: [],
  };
}

/** Undefined for a suite, unless it was skipped as a whole, or failed by itself and not through its tests. */
function classify(type, data) {
  const failedThroughTests = data.details?.error?.failureType === 'subtestsFailed';
  const passed = type === 'test:pass' && data.skip === undefined;
  if (data.details?.type === 'suite' && (passed || failedThroughTests)) return undefined;
  if (type === 'test:fail' && data.todo === undefined) return failedThroughTests ? undefined : 'failed';
  return data.skip !== undefined || data.todo !== undefined ? 'skipped' : 'passed';
}

function describeFailure(parents, data) {
  const error = data.details?.error;
  const reason = error?.cause ?? error;
  const text = typeof reason === 'string' ? reason : inspect(reason, { colors: false, depth: 6 });
  return `  ✖ ${[...parents, data.name].join(' > ')}\n${text.replace(/^/gm, '      ')}\n`;
}

function* finish(file, outputs) {
  const total = file.passed + file.failed + file.skipped;
  if (file.name === undefined || total === 0) return;
  const skipped = file.skipped > 0 ? `, ${file.skipped} skipped` : '';
  const failed = file.failed > 0 ? `, ${file.failed} failed` : '';
  const time = (file.durationMs / 1000).toFixed(1);
  yield `${file.failed > 0 ? '✖' : '✔'} ${path.relative(process.cwd(), file.name)}: ${file.passed} passed${failed}${skipped} (${time} s)\n`;
  if (file.failed === 0) return;
  yield* file.failures;
  const output = outputs.get(file.name);
  if (output !== undefined) yield ['  output of the file:', output.replace(/^/gm, '      '), ''].join('\n');
}
