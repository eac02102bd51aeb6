import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { copyFile, rm } from 'node:fs/promises';
import path from 'node:path';

import { readManifest, readStoredOutcome, toBytes } from '../../src/adapters/attempt-files/stored-outcome.js';
import { waitUntil } from '../../src/adapters/process-executor/end-attempt.js';
import { endProcess, readEnvironmentMembers } from '../../src/adapters/process-identity.js';
import type { ArtifactStore } from '../../src/core/artifact-store.js';
import { chunkKey, storeKeys } from '../../src/core/artifact-store.js';
import type { AttemptOutcome, AttemptRequest } from '../../src/core/attempt.js';
import type { PodLaunch } from '../../src/core/pod-launch.js';
import { podVariables, wrapperCommand } from '../../src/core/pod-layout.js';
import type { CommandToken } from '../../src/core/step.js';
import type { StoreLocation } from '../../src/core/store-location.js';
import { bundleProgram } from '../executor/bundle-program.js';
import { buildLaunch } from '../executor/contract.js';
import { createVolume, installBusybox, readText, WRAPPER } from './pod-volume.js';

const TIMEOUT_MS = 30_000;

/** Waits for a condition; a condition that never holds is a failed test. */
export const eventually = async (what: string, check: () => Promise<boolean> | boolean) =>
  assert.ok(await waitUntil(async () => await check(), TIMEOUT_MS), `${what} within ${TIMEOUT_MS} ms`);

/** What runs in pods, compiled. */
export interface PodPrograms {
  readonly fetch: string;
  readonly agent: string;
  remove(): Promise<void>;
}

export async function buildPodPrograms(): Promise<PodPrograms> {
  const fetch = await bundleProgram('../../src/agent/pod/pod-fetch.ts');
  const agent = await bundleProgram('../../src/agent/pod/pod-agent.ts');
  await installBusybox(path.join(path.dirname(fetch), 'busybox'));
  await copyFile(WRAPPER, path.join(path.dirname(fetch), 'wrapper.sh'));
  return {
    fetch,
    agent,
    remove: async () => {
      for (const file of [fetch, agent]) await rm(path.dirname(file), { recursive: true, force: true });
    },
  };
}

/** Where pods store, and with what in their environment. */
export interface PodWorld {
  readonly programs: PodPrograms;
  readonly store: ArtifactStore;
  /** Where the pods find it. */
  readonly location: StoreLocation;
  readonly credentials: { readonly [name: string]: string };
}

/** The launch of an attempt, as a worker makes it. */
export function launchOf(request: Partial<AttemptRequest>, more: Partial<PodLaunch> = {}): PodLaunch {
  const { name, runId, request: whole } = buildLaunch(request);
  return {
    version: 1,
    name,
    runId,
    request: whole,
    environment: {},
    preparedAtMs: Date.now(),
    uploadTimeoutMs: 20_000,
    checkpointSettleMs: 60_000,
    ...more,
  };
}

/** The same, in the store. */
export async function putLaunch(
  store: ArtifactStore,
  request: Partial<AttemptRequest>,
  more: Partial<PodLaunch> = {},
): Promise<PodLaunch> {
  const launch = launchOf(request, more);
  const key = storeKeys.launch(launch.request.executionId, launch.name);
  await store.putBytes(key, toBytes(launch), { ifAbsent: true });
  return launch;
}

/** One pod of an attempt on this machine: three processes, started and ended in the order in which the kubelet does it. */
export async function startPod(world: PodWorld, launch: PodLaunch) {
  const { store } = world;
  const volume = await createVolume();
  const { paths } = volume;
  const terminationLog = `${paths.root}.message`;
  const place = { executionId: launch.request.executionId, attemptName: launch.name, podUid: randomUUID() };
  const ourEnv = {
    PATH: process.env['PATH'],
    ...world.credentials,
    [podVariables.store]: store.rootUri,
    ...(world.location.s3 && { [podVariables.s3]: JSON.stringify(world.location.s3) }),
    [podVariables.launch]: storeKeys.launch(place.executionId, launch.name),
    [podVariables.podUid]: place.podUid,
  };
  let complaints = '';
  const ours = (program: string, env: Record<string, string> = {}) => {
    const child = spawn(process.execPath, [program, paths.root, terminationLog], {
      env: { ...ourEnv, ...env },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    child.stderr.on('data', (bytes: Buffer) => (complaints += bytes.toString()));
    return child;
  };
  let agent: ChildProcess | undefined;
  let main: ChildProcess | undefined;
  let isEnding = false;
  const startAgent = (env: Record<string, string> = {}) => {
    const started = ours(world.programs.agent, env);
    agent = started;
    // The kubelet starts it again, whatever it died of.
    started.once('exit', () => {
      if (!isEnding) setTimeout(() => isEnding || startAgent(env), 200);
    });
  };
  const resolve = (argument: AttemptRequest['command'][number]) =>
    typeof argument === 'string'
      ? argument
      : argument.map((piece) => (typeof piece === 'string' ? piece : pathOf(piece))).join('');
  const pathOf = (token: CommandToken) =>
    'output' in token ? path.join(paths.outputs, token.output) : path.join(paths.inputs, token.input);
  const exitOf = async (child: ChildProcess) => {
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    return child.exitCode ?? child.signalCode;
  };
  const killMain = async () => {
    main?.kill('SIGKILL');
    for (const member of await readEnvironmentMembers('VOLUME', paths.root))
      await endProcess(member, { graceMs: 0 });
  };
  return {
    paths,
    place,
    store,
    /** Runs the init container. @returns its exit code. */
    fetch: async () => await exitOf(ours(world.programs.fetch)),
    startAgent: async (env: Record<string, string> = {}) => {
      startAgent(env);
      await eventually(
        'the agent has started',
        async () => (await readText(paths.agentStarted)) !== undefined,
      );
    },
    startMain: () => {
      const { stopGraceMs, timeoutMs, command } = launch.request;
      const [file = '', ...args] = wrapperCommand(paths);
      main = spawn(file, [...args, ...command.map(resolve)], {
        env: {
          PATH: process.env['PATH'],
          VOLUME: paths.root,
          ANNEAL_CHECKPOINT_DIR: paths.checkpoints,
          ANNEAL_METRICS_STREAM: paths.metricsStream,
          ...(launch.request.takesCommands === true ? { ANNEAL_COMMANDS_DIR: paths.commands } : {}),
          [podVariables.stopGrace]: String(stopGraceMs / 1_000),
          ...(timeoutMs === undefined ? {} : { [podVariables.timeout]: String(timeoutMs / 1_000) }),
        },
        stdio: 'ignore',
        detached: true,
      });
    },
    killAgent: async () => {
      await eventually('an agent to kill', () => agent?.exitCode === null && agent.signalCode === null);
      const killed = agent;
      assert.ok(killed);
      assert.ok(killed.kill('SIGKILL'));
      await exitOf(killed);
    },
    agentPid: () => agent?.pid ?? 0,
    terminate: () => main?.kill('SIGTERM'),
    /** As the kernel does when the container runs out of memory, or a node dies: with everything in it. */
    killMain,
    /** Waits for the step's container, then ends the agent, as the kubelet does. @returns the container's exit code. */
    end: async (graceMs = TIMEOUT_MS) => {
      assert.ok(main && agent);
      const code = await Promise.race([exitOf(main), timeoutOf('the step has ended')]);
      isEnding = true;
      agent.kill('SIGTERM');
      const killed = setTimeout(() => agent?.kill('SIGKILL'), graceMs);
      await exitOf(agent);
      clearTimeout(killed);
      return code;
    },
    hasLogged: async (text: string) =>
      await eventually(`"${text}" in the log`, async () =>
        ((await readText(paths.log)) ?? '').includes(text),
      ),
    log: async () => await readText(paths.log),
    message: async () => (await readText(terminationLog)) ?? '',
    complaints: () => complaints,
    outcome: async () => await readJson<AttemptOutcome>(store, storeKeys.podOutcome(place)),
    attemptOutcome: async () => await readStoredOutcome(store, { ...place, name: launch.name }),
    manifest: async () => await readManifest(store, storeKeys.manifest(place.executionId, launch.name)),
    storedLog: async () => await readObject(store, storeKeys.log(place.executionId, launch.name)),
    chunks: async (stream: 'logs' | 'metrics') => {
      const texts: string[] = [];
      for (;;) {
        const text = await readObject(store, chunkKey(place, stream, texts.length));
        if (text === undefined) return texts;
        texts.push(text);
      }
    },
    remove: async () => {
      isEnding = true;
      agent?.kill('SIGKILL');
      // A test that failed may have left it running.
      await killMain();
      await rm(terminationLog, { force: true });
      await volume.remove();
    },
  };
}

export type LocalPod = Awaited<ReturnType<typeof startPod>>;

export async function readObject(store: ArtifactStore, key: string): Promise<string | undefined> {
  const bytes = await store.readBytes(key);
  return bytes === undefined ? undefined : Buffer.from(bytes).toString();
}

async function readJson<T>(store: ArtifactStore, key: string): Promise<T | undefined> {
  const text = await readObject(store, key);
  return text === undefined ? undefined : (JSON.parse(text) as T);
}

async function timeoutOf(what: string): Promise<never> {
  return await new Promise((_, reject) => {
    setTimeout(() => reject(new Error(`not within ${TIMEOUT_MS} ms: ${what}`)), TIMEOUT_MS).unref();
  });
}
