// `npm start`: sets everything up, then is the `start` command itself. The same process, so that Ctrl-C, signals, the terminal
// and the exit code need no passing on.
import path from 'node:path';
import { pathToFileURL } from 'node:url';

import { bootstrap, root, SetupFailure } from './bootstrap.mjs';

try {
  await bootstrap();
} catch (error) {
  if (!(error instanceof SetupFailure)) throw error;
  console.error(`\n${error.message}`);
  process.exit(1);
}
const main = path.join(root, 'dist', 'cli', 'main.js');
process.argv.splice(1, 1, main, 'start');
await import(pathToFileURL(main).href);
