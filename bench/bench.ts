// npm run bench [-- --quick] [-- --json]: starts bench.mjs in a Node without a translator, see there.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const script = fileURLToPath(new URL('./bench.mjs', import.meta.url));
const bench = spawn(process.execPath, [script, ...process.argv.slice(2)], { stdio: 'inherit' });
bench.on('exit', (code) => {
  process.exitCode = code ?? 1;
});
