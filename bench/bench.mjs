// Started by bench.ts; what is measured: run-bench.ts.
// TypeScript is translated in this thread alone. In the workflow thread a translator would switch source maps on, which costs
// workflows a good part of their time and which no worker of a user pays for.
import { register } from 'tsx/esm/api';

register();
process.setSourceMapsEnabled(false);
await import('./run-bench.ts');
