import { spawn, type ChildProcess } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { V1Container, V1PodSpec } from '@kubernetes/client-node';
import { podPaths, POD_ROOT } from '../../src/core/pod-layout.js';
import { installBusybox, WRAPPER } from '../agent/pod-volume.js';
import { bundleProgram } from '../executor/bundle-program.js';
import type { FakeApiServer } from './fake-api-server.js';
import type { ApiObject } from './fake-api-state.js';

/** Job controller and kubelet of a fake API server: the containers of pods are processes of this machine, their volume is a directory. */
export interface FakeKubelet {
  /** Ends every process and removes every directory. */
  stop(): Promise<void>;
}

interface Programs {
  readonly fetch: string;
  readonly agent: string;
}

/** Runs every Job that is made from now on. */
export async function startFakeKubelet(server: FakeApiServer): Promise<FakeKubelet> {
  const programs = await installPrograms();
  const pods = new Map<string, Promise<void>>();
  const ends = new AbortController();
  const unsubscribe = server.state.onChange(({ type, object, resource }) => {
    if (resource !== 'jobs' || type !== 'ADDED') return;
    pods.set(object.metadata.name, runPod(server, programs, { job: object, signal: ends.signal }));
  });
  return {
    stop: async () => {
      unsubscribe();
      ends.abort();
      await Promise.all(pods.values());
      for (const program of new Set(Object.values(programs).map((file: string) => path.dirname(file))))
        await rm(program, { recursive: true, force: true });
    },
  };
}

async function installPrograms(): Promise<Programs> {
  const [fetch, agent] = await Promise.all([
    bundleProgram('../../src/agent/pod/pod-fetch.ts'),
    bundleProgram('../../src/agent/pod/pod-agent.ts'),
  ]);
  await installBusybox(path.join(path.dirname(fetch), 'busybox'));
  await copyFile(WRAPPER, path.join(path.dirname(fetch), 'wrapper.sh'));
  return { fetch, agent };
}

interface PodRun {
  readonly job: ApiObject;
  readonly signal: AbortSignal;
}

async function runPod(server: FakeApiServer, programs: Programs, { job, signal }: PodRun): Promise<void> {
  await Promise.resolve();
  const pod = server.addPod(job.metadata.name);
  const { name, uid = '' } = pod.metadata;
  const spec = pod['spec'] as V1PodSpec;
  const root = await mkdtemp(path.join(tmpdir(), 'anneal-kubelet-'));
  const volume = path.join(root, 'anneal');
  await mkdir(volume);
  const running = new Set<ChildProcess>();
  const killAll = (how: NodeJS.Signals) => running.forEach((child) => kill(child, how));
  const status = (containers: object, more: object = {}) => {
    if (server.state.read('pods', name)) server.setStatus('pods', name, { ...containers, ...more });
  };
  const start = (container: V1Container, program?: string) => {
    const env = environmentOf(container, { name, uid });
    const toHost = (text: string) => expand(text, env).replaceAll(`${POD_ROOT}/`, `${volume}/`);
    const argv = program
      ? [process.execPath, program, volume, path.join(root, `${container.name}.message`)]
      : [...(container.command ?? []), ...(container.args ?? [])].map(toHost);
    const child = spawn(argv[0] ?? '', argv.slice(1), {
      detached: true,
      stdio: ['ignore', 'ignore', 'inherit'],
      cwd: program ? root : toHost(container.workingDir ?? root),
      env: {
        PATH: process.env['PATH'] ?? '',
        ...Object.fromEntries(
          Object.entries(env).map(([key, value]) => [key, value.replaceAll(`${POD_ROOT}/`, `${volume}/`)]),
        ),
      },
    });
    running.add(child);
    const ended = new Promise<number>((resolve) => {
      child.once('error', () => resolve(128));
      child.once('exit', (code, how) => resolve(code ?? (how === 'SIGKILL' ? 137 : 143)));
    }).finally(() => running.delete(child));
    return { child, ended };
  };
  let deleted = false;
  const unsubscribe = server.state.onChange(({ object, resource }) => {
    if (deleted || resource !== 'pods' || object.metadata.name !== name) return;
    const { deletionTimestamp, deletionGracePeriodSeconds } = object.metadata as {
      readonly deletionTimestamp?: string;
      readonly deletionGracePeriodSeconds?: number;
    };
    if (deletionTimestamp === undefined) return;
    deleted = true;
    const [main] = [...running].filter((child) => !child.spawnargs.includes(programs.agent));
    if (main) kill(main, 'SIGTERM');
    else killAll('SIGTERM');
    const grace = (deletionGracePeriodSeconds ?? spec.terminationGracePeriodSeconds ?? 30) * 1_000;
    const timer = setTimeout(() => killAll('SIGKILL'), grace);
    timer.unref();
  });
  const onStop = () => killAll('SIGKILL');
  signal.addEventListener('abort', onStop);
  try {
    status({
      phase: 'Pending',
      startTime: now(),
      conditions: [{ type: 'PodScheduled', status: 'True', lastTransitionTime: now() }],
    });
    const containers = Object.fromEntries(
      [...(spec.initContainers ?? []), ...spec.containers].map((one) => [one.name, one]),
    );
    const { fetch, agent, main } = containers;
    if (!fetch || !agent || !main) throw new Error('a pod without its containers');
    status({ initContainerStatuses: [{ name: 'fetch', state: { running: { startedAt: now() } } }] });
    const fetched = await start(fetch, programs.fetch).ended;
    const message = await readFile(path.join(root, 'fetch.message'), 'utf8').catch(() => '');
    const ofFetch = {
      name: 'fetch',
      state: { terminated: { exitCode: fetched, message, finishedAt: now() } },
    };
    if (fetched !== 0) return status({ initContainerStatuses: [ofFetch] }, { phase: 'Failed' });
    const startedAgent = start(agent, programs.agent);
    const ofAgent = { name: 'agent', state: { running: { startedAt: now() } } };
    status({ initContainerStatuses: [ofFetch, ofAgent] });
    while (!existsSync(podPaths(volume).agentStarted) && running.has(startedAgent.child)) await wait(10);
    if (deleted) killAll('SIGTERM');
    const begun = deleted ? undefined : start(main);
    const startedAt = now();
    status(
      { containerStatuses: [{ name: 'main', state: { running: { startedAt } } }] },
      { phase: 'Running' },
    );
    const exitCode = (await begun?.ended) ?? 143;
    const ofMain = {
      name: 'main',
      state: {
        terminated: {
          exitCode,
          startedAt,
          finishedAt: now(),
          reason: exitCode === 0 ? 'Completed' : 'Error',
        },
      },
    };
    status({ containerStatuses: [ofMain] });
    kill(startedAgent.child, 'SIGTERM');
    await startedAgent.ended;
    status({ containerStatuses: [ofMain] }, { phase: exitCode === 0 ? 'Succeeded' : 'Failed' });
  } finally {
    killAll('SIGKILL');
    unsubscribe();
    signal.removeEventListener('abort', onStop);
    if (deleted) server.state.remove('pods', name);
    await rm(root, { recursive: true, force: true });
  }
}

function now(): string {
  return new Date().toISOString();
}

function kill({ pid }: ChildProcess, how: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(pid, how);
  } catch {
    return;
  }
}

function environmentOf(
  { env = [] }: V1Container,
  pod: { readonly name: string; readonly uid: string },
): Record<string, string> {
  const found: Record<string, string> = {};
  for (const { name, value, valueFrom } of env) {
    const field = valueFrom?.fieldRef?.fieldPath;
    if (field !== undefined) found[name] = field === 'metadata.uid' ? pod.uid : pod.name;
    else if (value !== undefined) found[name] = expand(value, found);
  }
  return found;
}

/** What Kubernetes makes of a text in a command or in the environment. */
function expand(text: string, env: { readonly [name: string]: string }): string {
  return text.replace(/\$(\$|\(([^)]*)\))?/g, (whole, what?: string, name?: string) =>
    what === '$' ? '$' : name !== undefined && Object.hasOwn(env, name) ? (env[name] ?? '') : whole,
  );
}
