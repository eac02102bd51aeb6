import assert from 'node:assert/strict';
import { mkdtempSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before } from 'node:test';

import type { AttemptLaunch } from '../../src/activities/ports/executor.js';
import { createFileStore } from '../../src/adapters/file-store/create-file-store.js';
import { attemptLogPath, attemptPaths } from '../../src/adapters/process-executor/attempt-directory.js';
import { readJson } from '../../src/adapters/attempt-files/json-file.js';
import type { CommandRecord } from '../../src/adapters/process-executor/attempt-spec.js';
import { createProcessExecutor } from '../../src/adapters/process-executor/create-process-executor.js';
import { waitUntil } from '../../src/adapters/process-executor/end-attempt.js';
import type { ProcessExecutorDeps } from '../../src/adapters/process-executor/executor-deps.js';
import type { ProcessIdentity } from '../../src/adapters/process-identity.js';
import { storeKeys } from '../../src/core/artifact-store.js';
import type { AttemptOutcome } from '../../src/core/attempt.js';
import { bundleProgram } from './bundle-program.js';
import { buildLaunch, dataset, output, sh, succeeded } from './contract.js';

const TIMEOUT_MS = 15_000;

/** Waits for a condition; a condition that never holds is a failed test. */
export const eventually = async (what: string, check: () => Promise<boolean>) =>
  assert.ok(await waitUntil(check, TIMEOUT_MS), `${what} within ${TIMEOUT_MS} ms`);

/** Process executors on a store and attempts of the enclosing suite's own. At its end no attempt may be left. */
export function createAttemptWorld() {
  const root = mkdtempSync(path.join(tmpdir(), 'anneal-supervision-'));
  const attemptsDir = path.join(root, 'attempts');
  const store = createFileStore({ root: path.join(root, 'store') });
  let supervisorPath = '';
  const createExecutor = (more: Partial<ProcessExecutorDeps> = {}) =>
    createProcessExecutor({
      store,
      attemptsDir,
      buildsDir: path.join(root, 'builds'),
      supervisorPath,
      clock: { nowMs: () => Date.now() },
      ensurePython: () => Promise.reject(new Error('no Python in this test')),
      gpus: { leasesDir: path.join(root, 'gpus'), discover: () => Promise.resolve([]) },
      env: process.env,
      checkpointSettleMs: 60_000,
      ...more,
    });
  before(async () => {
    await mkdir(attemptsDir);
    supervisorPath = await bundleProgram('../../src/agent/supervisor.ts');
  });
  after(async () => {
    const left = await readdir(attemptsDir);
    // A test that failed may have left its attempt running.
    for (const name of left) await createExecutor().end(name, { graceMs: 0, executionId: 'execution' });
    for (const folder of [root, path.dirname(supervisorPath)])
      await rm(folder, { recursive: true, force: true });
    assert.deepEqual(left, []);
  });
  const pathsOf = (launch: AttemptLaunch) => attemptPaths(attemptsDir, launch.name);
  return {
    root,
    attemptsDir,
    store,
    supervisorPath: () => supervisorPath,
    createExecutor,
    pathsOf,
    readOutput: async (outcome: AttemptOutcome, name: string) => {
      const key = store.keyOf(succeeded(outcome).outputs[name]?.uri ?? '');
      return Buffer.from((await store.readBytes(key)) ?? []).toString();
    },
    readLog: async (launch: AttemptLaunch) =>
      Buffer.from((await store.readBytes(storeKeys.log('execution', launch.name))) ?? []).toString(),
    readSupervisor: async (launch: AttemptLaunch) => {
      const identity = await readJson<ProcessIdentity>(pathsOf(launch).supervisor);
      assert.ok(identity);
      return identity;
    },
    readCommand: async (launch: AttemptLaunch) => {
      let record: CommandRecord | undefined;
      await eventually('the command runs', async () => {
        record = await readJson<CommandRecord>(pathsOf(launch).command);
        return record !== undefined;
      });
      assert.ok(record);
      return record.identity;
    },
    hasLogged: (launch: AttemptLaunch, text: string) =>
      eventually(`"${text}" in the log`, async () =>
        (await readFile(attemptLogPath(attemptsDir, launch.name), 'utf8').catch(() => '')).includes(text),
      ),
    /** Counts executions in its output `count`, then waits for `letGo`. */
    counted: (name: string) =>
      buildLaunch({ command: countAndWait(path.join(root, name)), outputs: { count: dataset } }, name),
    letGo: (launch: AttemptLaunch) => writeFile(path.join(root, `${launch.name}.go`), ''),
  };
}

function countAndWait(file: string) {
  return sh(
    `echo once >> ${file}.count; echo begun; until [ -e ${file}.go ]; do sleep 0.05; done; cp ${file}.count `,
    output('count'),
  );
}
