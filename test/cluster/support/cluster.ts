import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { userCacheDirectory } from '../../../src/adapters/cache-directory.js';

/** What `run.sh` writes when the cluster is up. */
interface ReadyFile {
  /** Address of this machine as pods see it: servers that pods use listen there. */
  readonly hostAddress: string;
  readonly apiServer: string;
  /** Folder of the binaries. */
  readonly bin: string;
}

/** Parts of the cluster that a test may stop. */
export type Component =
  'etcd' | 'apiserver' | 'controllers' | 'scheduler' | 'containerd' | 'kubelet' | 'kwok';

/** The cluster that is up. */
export interface TestCluster extends ReadyFile {
  /** An administrator's. */
  readonly kubeconfig: string;
  readonly auditLog: string;
  /** PEM. */
  readonly authority: string;
  /** Runs kubectl as an administrator; resolves to what it printed, and rejects with what it complained about. */
  kubectl(args: readonly string[], input?: string): Promise<string>;
  /** `kubectl get -o json`. */
  read<T>(...args: string[]): Promise<T>;
  /** Creates or changes objects. */
  apply(...objects: readonly object[]): Promise<void>;
  /** Kills a part, as a power cut would; it stays away until `start`. */
  stop(component: Component): Promise<void>;
  /** Starts a part that was stopped; resolves when it runs, not when it is ready. */
  start(component: Component): Promise<void>;
  /** Kills a part, which is started again at once. */
  restart(component: Component): Promise<void>;
}

const state =
  process.env['ANNEAL_TEST_CLUSTER'] ?? path.join(userCacheDirectory(process.env), 'cluster', 'run');

/** Why the cluster tests do not run here; for `skip`. */
export const clusterMissing: string | false =
  process.env['ANNEAL_TEST_CLUSTER_OBSTACLE'] ??
  (existsSync(path.join(state, 'ready')) ? false : 'no test cluster is up (node scripts/cluster.mjs up)');

/** The cluster that `npm test` or `node scripts/cluster.mjs up` started. */
export function openCluster(): TestCluster {
  const ready = JSON.parse(readFileSync(path.join(state, 'ready'), 'utf8')) as ReadyFile;
  const kubeconfig = path.join(state, 'admin.kubeconfig');
  const kubectl = async (args: readonly string[], input?: string): Promise<string> =>
    await run({ file: path.join(ready.bin, 'kubectl'), args: ['--kubeconfig', kubeconfig, ...args], input });
  const stopped = (component: Component) => path.join(state, 'stopped', component);
  const kill = async (component: Component): Promise<string> => {
    const pid = await readPid(component);
    await run({
      file: 'nsenter',
      args: ['--target', await init(), '--pid', '--mount', 'kill', '-KILL', pid],
    });
    return pid;
  };
  return {
    ...ready,
    kubeconfig,
    auditLog: path.join(state, 'audit.log'),
    authority: readFileSync(path.join(state, 'pki', 'ca.crt'), 'utf8'),
    kubectl,
    read: async <T>(...args: string[]) => JSON.parse(await kubectl(['get', '-o', 'json', ...args])) as T,
    apply: async (...objects) => {
      const list = { apiVersion: 'v1', kind: 'List', items: objects };
      await kubectl(['apply', '--server-side', '--force-conflicts', '-f', '-'], JSON.stringify(list));
    },
    stop: async (component) => {
      await writeFile(stopped(component), '');
      await kill(component);
    },
    start: async (component) => {
      await rm(stopped(component), { force: true });
      await readPid(component);
    },
    restart: async (component) => {
      const before = await kill(component);
      while ((await readPid(component)) === before) await delay(50);
    },
  };
}

/** The pid, inside of the cluster's namespace, of a part that runs. */
async function readPid(component: Component): Promise<string> {
  for (const deadline = Date.now() + 20_000; ;) {
    const pid = await readFile(path.join(state, 'pid', component), 'utf8').catch(() => '');
    if (pid !== '') return pid.trim();
    if (Date.now() > deadline) throw new Error(`${component} of the test cluster does not run`);
    await delay(50);
  }
}

/** The first process of the cluster's namespaces, as this machine counts. */
async function init(): Promise<string> {
  const runner = (await readFile(path.join(state, 'run.pid'), 'utf8')).trim();
  return (await readFile(`/proc/${runner}/task/${runner}/children`, 'utf8')).trim();
}

interface Command {
  readonly file: string;
  readonly args: readonly string[];
  readonly input?: string | undefined;
}

function run({ file, args, input }: Command): Promise<string> {
  return new Promise((resolve, reject) => {
    const limits = { timeout: 120_000, maxBuffer: 64 * 1024 * 1024 };
    const child = execFile(file, args, limits, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else
        reject(
          new Error(`${path.basename(file)} ${args.slice(2).join(' ')}: ${stderr.trim() || error.message}`),
        );
    });
    child.stdin?.on('error', () => undefined).end(input ?? '');
  });
}
