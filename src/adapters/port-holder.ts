import { execFile } from 'node:child_process';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { promisify } from 'node:util';

/** Who listens on a port of this machine, as far as the asked processes are concerned. */
export type PortHolder = 'these' | 'others' | 'unknown';

/**
 * Whether one of these processes listens on the TCP port of 127.0.0.1 or of all addresses. An answer on a port says nothing about who
 * gave it: of two servers that start on one port, the one that lost it is alive for seconds before it notices.
 *
 * @returns `unknown` where the system does not tell: no `/proc` on Linux, no `lsof` elsewhere.
 */
export async function readPortHolder(port: number, pids: readonly number[]): Promise<PortHolder> {
  return process.platform === 'linux' ? await fromProc(port, pids) : await fromLsof(port, pids);
}

const run = promisify(execFile);
const LISTENING = '0A';

async function fromProc(port: number, pids: readonly number[]): Promise<PortHolder> {
  const tables = await Promise.all(
    ['/proc/net/tcp', '/proc/net/tcp6'].map((file) => readFile(file, 'utf8').catch(() => undefined)),
  );
  if (tables[0] === undefined) return 'unknown';
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const sockets = new Set<string>();
  for (const line of tables.join('\n').split('\n')) {
    // sl, local address, remote address, state, queues, timer, retransmits, uid, timeout, inode
    const fields = line.trim().split(/\s+/);
    const [, local, , state] = fields;
    if (local?.endsWith(suffix) && state === LISTENING) sockets.add(`socket:[${fields[9] ?? ''}]`);
  }
  if (sockets.size === 0) return 'unknown';
  const opened = await Promise.all(pids.map(openFiles));
  return opened.flat().some((file) => sockets.has(file)) ? 'these' : 'others';
}

async function openFiles(pid: number): Promise<string[]> {
  const names = await readdir(`/proc/${pid}/fd`).catch(() => []);
  return await Promise.all(names.map((name) => readlink(`/proc/${pid}/fd/${name}`).catch(() => '')));
}

async function fromLsof(port: number, pids: readonly number[]): Promise<PortHolder> {
  try {
    const { stdout } = await run('lsof', ['-nP', `-iTCP:${port}`, '-sTCP:LISTEN', '-t']);
    const holders = stdout.trim().split('\n').map(Number);
    return holders.some((holder) => pids.includes(holder)) ? 'these' : 'others';
  } catch {
    return 'unknown'; // not there, or nothing listens (exit code 1)
  }
}
