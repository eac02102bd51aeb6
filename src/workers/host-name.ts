import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import path from 'node:path';

/**
 * The name of this machine in the task queues of its process pools: `ANNEAL_HOST`, else what it was called when the project first ran
 * here. Host names change (DHCP, containers), and open runs wait on the queues that they started with.
 */
export async function loadHostName(stateDir: string, env: NodeJS.ProcessEnv): Promise<string> {
  const set = env['ANNEAL_HOST'];
  if (set !== undefined && set !== '') return set;
  const file = path.join(stateDir, 'host');
  const known = await readFile(file, 'utf8').catch(() => '');
  if (known.trim() !== '') return known.trim();
  await mkdir(stateDir, { recursive: true });
  try {
    await writeFile(file, `${hostname()}\n`, { flag: 'wx' });
    return hostname();
  } catch {
    return (await readFile(file, 'utf8')).trim();
  }
}
