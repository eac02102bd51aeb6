import { readPlaces } from './pod-context.js';
import { runFetch } from './run-fetch.js';

// `node pod-fetch.js`: the first container of a pod. Puts what the command needs into the volume, and busybox with the wrapper that runs it.
process.exit(
  await runFetch(readPlaces(process.argv.slice(2)), { env: process.env, programs: import.meta.dirname }),
);
