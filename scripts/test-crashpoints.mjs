// `npm run test:crashpoints`: kills real workers and supervisors at every side effect of a run; test/crashpoints says how.
import process from 'node:process';

import { bootstrap, runInherited, runScript } from './bootstrap.mjs';
import { ensureTestEnvironments } from './test-environments.mjs';

await runScript(async () => {
  await bootstrap();
  const env = await ensureTestEnvironments();
  return await runInherited(
    process.execPath,
    ['--import', 'tsx', 'test/crashpoints/main.ts', ...process.argv.slice(2)],
    env,
  );
});
