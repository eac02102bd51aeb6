import { runProbe } from './run-probe.js';

// `node pod-probe.js`: what `anneal doctor --kubernetes` runs in a pod. Looks at the store as pods of steps do.
process.exit(await runProbe(process.env, process.argv[2] ?? '/dev/termination-log'));
