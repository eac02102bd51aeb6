import path from 'node:path';

import { readOptions } from './options.js';
import { runCrashpoints } from './run-crashpoints.js';

// `npm run test:crashpoints`
const interrupt = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupt.abort());
const { isWhole } = await runCrashpoints(readOptions(process.argv.slice(2)), {
  out: process.stdout,
  resultsFile: path.join(process.cwd(), '.anneal', 'crashpoints', 'results.jsonl'),
  signal: interrupt.signal,
});
process.exitCode = isWhole ? 0 : 1;
