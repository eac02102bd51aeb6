// Records test/histories again on a dev server. Only for a release that is to replay from now on; recorded files are never edited,
// and one that no longer replays is a change that would stall the runs that are open. Arguments: names of those that are recorded again; default: all.
import process from 'node:process';

import { bootstrap, runInherited, runScript } from './bootstrap.mjs';
import { ensureTestEnvironments } from './test-environments.mjs';

await runScript(async () => {
  await bootstrap();
  const env = process.env.ANNEAL_TEST_TEMPORAL === undefined ? await ensureTestEnvironments() : process.env;
  return await runInherited(
    process.execPath,
    ['--import', 'tsx', 'test/replay/record.ts', ...process.argv.slice(2)],
    env,
  );
});
