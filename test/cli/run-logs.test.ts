import assert from 'node:assert/strict';
import { appendFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { createLaunchFinder } from '../../src/client/live-attempts.js';
import { readLogs } from '../../src/client/run-logs.js';
import type { ClientDeps } from '../../src/client/client-deps.js';
import type { StoredObject } from '../../src/core/artifact-store.js';
import { chunkKey, storeKeys } from '../../src/core/artifact-store.js';
import type { RunStatus } from '../../src/core/run.js';
import { createMemoryStore } from '../activities/memory-store.js';
import { call, report } from './fake-cli.js';

/** A server that answers the status query with what the test says, and a store in memory. */
function fakeDeps(
  attemptsDir: string,
  setting: { status: () => RunStatus; onSleep: () => Promise<void>; stored: Map<string, Uint8Array> },
): ClientDeps {
  const handle = {
    describe: async () => {
      const status = setting.status();
      const ended = status.endedAtMs === undefined ? {} : { closeTime: new Date(status.endedAtMs) };
      const name = status.endedAtMs === undefined ? 'RUNNING' : 'COMPLETED';
      return await Promise.resolve({
        workflowId: status.runId,
        runId: 'epoch',
        type: status.pipeline,
        startTime: new Date(status.startedAtMs),
        status: { name },
        searchAttributes: {},
        raw: { workflowExecutionInfo: { firstRunId: status.executionId } },
        ...ended,
      });
    },
    query: async () => await Promise.resolve(setting.status()),
  };
  const temporal: ClientDeps['temporal'] = Object.assign(Object.create(null), {
    workflow: { getHandle: () => handle },
    withDeadline: async (_: number, fn: () => Promise<unknown>) => await fn(),
  });
  return {
    temporal,
    project: 'shop',
    attemptsDir,
    store: {
      readBytes: async (key) => {
        if (key === storeKeys.run('exec-1'))
          return new TextEncoder().encode(JSON.stringify(setting.status()));
        return await Promise.resolve(setting.stored.get(key));
      },
      async *list(prefix) {
        const keys = [...setting.stored.keys()].filter((key) => key.startsWith(prefix)).sort();
        for (const key of keys) yield await Promise.resolve(storedObject(key));
      },
      openRead: async (key, { start = 0 } = {}) => {
        const stored = setting.stored.get(key);
        return await Promise.resolve(stored && inPieces(stored.subarray(start)));
      },
    },
    clock: { nowMs: () => 0, sleep: setting.onSleep },
  };
}

/** Later keys of the second pod are written after those of the first. */
function storedObject(key: string): StoredObject {
  return { key, uri: `file:///${key}`, sizeBytes: 1, modifiedAtMs: key.includes('/pod-a/') ? 2 : 1 };
}

/** Three bytes at a time, so that characters are cut. */
async function* inPieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 3) yield await Promise.resolve(bytes.subarray(at, at + 3));
}

test('following a step reads the live file, then the store from where it was left, over two attempts', async (t) => {
  const attemptsDir = await mkdtemp(path.join(tmpdir(), 'anneal-logs-'));
  t.after(async () => await rm(attemptsDir, { recursive: true }));
  const live = async (name: string, text: string) => {
    await mkdir(path.join(attemptsDir, name, 'logs'), { recursive: true });
    await writeFile(path.join(attemptsDir, name, 'spec.json'), JSON.stringify({ request: { callId: 'c1' } }));
    await appendFile(path.join(attemptsDir, name, 'logs', 'output.log'), text);
  };
  const stored = new Map<string, Uint8Array>();
  const keep = (name: string, text: string) =>
    stored.set(storeKeys.log('exec-1', name), new TextEncoder().encode(text));
  const open = (given: Parameters<typeof call>[0]) => {
    const { endedAtMs: _, ...rest } = report({ state: 'running', calls: [call({ id: 'c1', ...given })] });
    return rest;
  };
  let status: RunStatus = open({ name: 'train', state: 'running' });
  await live('train-x-a1', 'one\n');
  const acts: (() => Promise<void> | void)[] = [
    async () => await live('train-x-a1', 'two ä\n'),
    async () => {
      await rm(path.join(attemptsDir, 'train-x-a1'), { recursive: true });
      keep('train-x-a1', 'one\ntwo ä\nthree\n');
      status = open({ name: 'train', state: 'retrying', attempt: 2 });
    },
    async () => {
      await live('train-x-a2', 'four\n');
      status = open({ name: 'train', state: 'running', attempt: 2 });
    },
    () => {
      keep('train-x-a2', 'four\nfive\n');
      status = report({
        calls: [call({ id: 'c1', name: 'train', state: 'succeeded', attempt: 2, attemptName: 'train-x-a2' })],
      });
    },
  ];
  const onSleep = async () => {
    await acts.shift()?.();
  };
  const read: [number, string][] = [];
  for await (const { attempt, text } of readLogs(
    fakeDeps(attemptsDir, { status: () => status, onSleep, stored }),
    'churn-1',
    { step: 'train', follow: true },
  ))
    read.push([attempt, text]);
  assert.equal(acts.length, 0);
  const joined = [1, 2].map((attempt) =>
    read
      .filter(([of]) => of === attempt)
      .map(([, text]) => text)
      .join(''),
  );
  assert.deepEqual(joined, ['one\ntwo ä\nthree\n', 'four\nfive\n']);
});

test('following a step on Kubernetes reads the pieces of its pods, then the whole log from where they ended', async () => {
  const stored = new Map<string, Uint8Array>();
  const put = (key: string, text: string) => stored.set(key, new TextEncoder().encode(text));
  const launch = (attempt: number, callId = 'c1') => {
    const name = `train-x-a${attempt}`;
    put(storeKeys.launch('exec-1', name), JSON.stringify({ name, request: { callId } }));
  };
  const piece = (attempt: number, podUid: string, n: number, text: string) =>
    put(chunkKey({ executionId: 'exec-1', attemptName: `train-x-a${attempt}`, podUid }, 'logs', n), text);
  const open = (given: Parameters<typeof call>[0]) => {
    const { endedAtMs: _, ...rest } = report({ state: 'running', calls: [call({ id: 'c1', ...given })] });
    return rest;
  };
  put(
    storeKeys.launch('exec-1', 'train-w-a1'),
    JSON.stringify({ name: 'train-w-a1', request: { callId: 'c0' } }),
  );
  let status: RunStatus = open({ name: 'train', state: 'running' });
  const acts: (() => void)[] = [
    () => {
      launch(1);
      piece(1, 'pod-b', 0, 'one\n');
    },
    () => void piece(1, 'pod-b', 1, 'two '),
    () => void piece(1, 'pod-b', 2, 'three\n'),
    () => {
      // Suspended and resumed: a second pod, whose uid sorts before that of the first.
      piece(1, 'pod-a', 0, 'four\n');
      status = open({ name: 'train', state: 'retrying', attempt: 2 });
    },
    () => {
      launch(2);
      piece(2, 'pod-c', 0, 'five\n');
      status = open({ name: 'train', state: 'running', attempt: 2 });
    },
    () => {
      // Stored whole, and its pieces are removed.
      put(storeKeys.log('exec-1', 'train-x-a2'), 'five\nsix\n');
      stored.delete(
        chunkKey({ executionId: 'exec-1', attemptName: 'train-x-a2', podUid: 'pod-c' }, 'logs', 0),
      );
      status = report({
        calls: [call({ id: 'c1', name: 'train', state: 'succeeded', attempt: 2, attemptName: 'train-x-a2' })],
      });
    },
  ];
  const read = new Map<number, string>();
  const onSleep = async () => await Promise.resolve(acts.shift()?.());
  for await (const { attempt, text } of readLogs(
    fakeDeps('/nowhere', { status: () => status, onSleep, stored }),
    'churn-1',
    { step: 'train', follow: true },
  ))
    read.set(attempt, (read.get(attempt) ?? '') + text);
  assert.equal(acts.length, 0);
  assert.deepEqual(Object.fromEntries(read), { 1: 'one\ntwo three\nfour\n', 2: 'five\nsix\n' });
});

test('the log of an ended run has every attempt, and an unknown step is named', async (t) => {
  const attemptsDir = await mkdtemp(path.join(tmpdir(), 'anneal-logs-'));
  t.after(async () => await rm(attemptsDir, { recursive: true }));
  // The third was made after the run continued as new: its name has another stem.
  const stored = new Map(
    ['x-a1', 'x-a2', 'y-a3'].map(
      (end) => [storeKeys.log('exec-1', `train-${end}`), new TextEncoder().encode(`${end}\n`)] as const,
    ),
  );
  const made = { attempt: 3, attemptName: 'train-y-a3', earlierAttempts: ['train-x-a2'] };
  const status = report({ calls: [call({ name: 'train', state: 'succeeded', ...made })] });
  const deps = fakeDeps(attemptsDir, {
    status: () => status,
    onSleep: async () => await Promise.resolve(),
    stored,
  });
  const read: string[] = [];
  for await (const { text } of readLogs(deps, 'churn-1')) read.push(text);
  assert.equal(read.join(''), 'x-a1\nx-a2\ny-a3\n');
  await assert.rejects(async () => await readLogs(deps, 'churn-1', { step: 'tain' }).next(), {
    code: 'InvalidInput',
    message: 'Run "churn-1" has no step "tain"; it has train. Did you mean "train"?',
  });
});

test('one look at the store serves all calls of a step that wait for a place, and what was launched is read once', async () => {
  const store = createMemoryStore();
  const counted = { lists: 0, reads: 0 };
  const list: typeof store.list = async function* (prefix) {
    counted.lists++;
    // As slow as that of many files.
    const until = performance.now() + 20;
    while (performance.now() < until) await Promise.resolve();
    yield* store.list(prefix);
  };
  const readBytes: typeof store.readBytes = async (key) => (counted.reads++, await store.readBytes(key));
  for (const n of [1, 2]) {
    const launch = { name: `train-${n}-a1`, request: { callId: `c${n}` } };
    await store.putBytes(storeKeys.launch('exec-1', launch.name), Buffer.from(JSON.stringify(launch)));
  }
  const launches = createLaunchFinder({ list, readBytes }, 'exec-1');
  const calls = Array.from({ length: 50 }, (_, n) => ({ step: 'train', callId: `c${n}`, attempt: 1 }));
  const names: (string | undefined)[] = [];
  for (const one of calls) names.push(await launches.find(one));
  assert.deepEqual(names.slice(0, 4), [undefined, 'train-1-a1', 'train-2-a1', undefined]);
  assert.ok(counted.lists < 5, `${counted.lists} lists`);
  assert.equal(counted.reads, 2);
});

test('following goes on when the server is away for a moment', async (t) => {
  const attemptsDir = await mkdtemp(path.join(tmpdir(), 'anneal-logs-'));
  t.after(async () => await rm(attemptsDir, { recursive: true }));
  const stored = new Map([[storeKeys.log('exec-1', 'train-x-a1'), Buffer.from('all of it\n')]]);
  let looks = 0;
  const status = () => {
    if (++looks === 2) throw Object.assign(new Error('connection refused'), { code: 14 });
    return looks < 4
      ? report({ state: 'running', executionId: 'exec-1' })
      : report({
          ...{ state: 'completed', executionId: 'exec-1', endedAtMs: 9 },
          calls: [call({ id: 'c1', name: 'train', state: 'succeeded', attemptName: 'train-x-a1' })],
        });
  };
  const deps = fakeDeps(attemptsDir, { status, stored, onSleep: async () => await Promise.resolve() });
  let text = '';
  for await (const chunk of readLogs(deps, 'churn-1', { follow: true })) text += chunk.text;
  assert.equal(text, 'all of it\n');
});
