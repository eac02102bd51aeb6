import { readPlaces } from './pod-context.js';
import { runAgent } from './run-agent.js';

// `node pod-agent.js`: runs beside a step's container. It stores checkpoints, points of metrics and the log while the command runs, and what it
// made when it has ended. The kubelet restarts it when it dies: everything it knows is in the store and in the volume.
const told = new AbortController();
process.on('SIGTERM', () => told.abort());
process.on('SIGINT', () => told.abort());
await runAgent(readPlaces(process.argv.slice(2)), { env: process.env, told: told.signal });
// To go by itself would be a crash to the kubelet, which would start it again.
const stay = setInterval(() => undefined, 60_000);
await new Promise<void>((resolve) => {
  if (told.signal.aborted) resolve();
  else told.signal.addEventListener('abort', () => resolve());
});
clearInterval(stay);
process.exit(0);
