import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';
import type { Server } from 'node:net';
import path from 'node:path';
import { describe, test } from 'node:test';

import { endProcess, readProcessIdentity } from '../../src/adapters/process-identity.js';
import { isPortFree } from '../../src/local/free-port.js';
import { readLocalState, stopLocalServers } from '../../src/local/local-servers.js';
import { ensureServer } from '../../src/local/server-process.js';
import type { ServerDefinition } from '../../src/local/server-process.js';
import { readServerRecord, writeServerRecord } from '../../src/local/server-record.js';
import { withLocalProject } from './with-local-project.js';

async function listen(port: number): Promise<Server> {
  const server = createServer((socket) => socket.end()).listen(port, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

/** Takes its time before it listens, as MLflow does, and ends when it cannot. */
const SLOW_SERVER = `setTimeout(() => require('node:http')
  .createServer((_request, response) => response.end('ours')).listen(Number(process.argv[1]), '127.0.0.1'), 500)`;

async function ask(port: number): Promise<string | undefined> {
  return await fetch(`http://127.0.0.1:${port}`).then(
    async (response) => await response.text(),
    () => undefined,
  );
}

describe('local servers', () => {
  test('start once, are found by a second start, and are gone after a stop', async () => {
    await withLocalProject(async (project) => {
      const first = await project.start();
      assert.equal(first.temporal.address, `127.0.0.1:${project.ports.temporal.port}`);
      assert.equal(first.mlflow.trackingUri, `http://127.0.0.1:${project.ports.mlflow.port}`);
      assert.deepEqual([first.temporal.started, first.mlflow.started], [true, true]);
      const second = await project.start();
      assert.deepEqual([second.temporal.started, second.mlflow.started], [false, false]);
      assert.equal((await project.starts('temporal')).length, 1);
      assert.equal((await readLocalState(project.stateDir)).temporal?.running, true);

      assert.deepEqual(await stopLocalServers(project), ['temporal', 'mlflow']);
      assert.equal((await readLocalState(project.stateDir)).mlflow?.running, false);
      assert.equal(await isPortFree(project.ports.mlflow.port), true);
      assert.deepEqual(await stopLocalServers(project), []);
    });
  });

  test('start only once when two processes start them at the same time', async () => {
    await withLocalProject(async (project) => {
      const results = await Promise.all([project.start(), project.start(), project.start()]);
      assert.equal(results.filter((result) => result.temporal.started).length, 1);
      assert.equal((await project.starts('temporal')).length, 1);
      assert.equal((await project.starts('mlflow')).length, 1);
    });
  });

  test('move to another port when theirs is in use, and remember it', async () => {
    await withLocalProject(async (project) => {
      const foreign = await listen(project.ports.mlflow.port);
      try {
        const { mlflow } = await project.start();
        assert.notEqual(mlflow.trackingUri, `http://127.0.0.1:${project.ports.mlflow.port}`);
        assert.ok(
          project.progress.some((line) => line.includes(`port ${project.ports.mlflow.port} is in use`)),
        );
        await stopLocalServers(project);
        assert.equal(foreign.listening, true);
      } finally {
        foreign.close();
      }
      await once(foreign, 'close');
      const remembered = (await readLocalState(project.stateDir)).mlflow?.address;
      assert.equal((await project.start()).mlflow.trackingUri, remembered, project.progress.join('\n'));
    });
  });

  test('do not take for theirs what another program answers on their port', async () => {
    await withLocalProject(async ({ stateDir, ports, progress }) => {
      await mkdir(stateDir, { recursive: true });
      const foreign = createHttpServer((_request, response) => response.end('theirs'));
      const definition: ServerDefinition = {
        name: 'mlflow',
        label: 'MLflow',
        defaultPorts: ports.mlflow,
        healthTimeoutMs: 20_000,
        prepare: async ({ port }) => {
          // After the port was found free, and while ours is still far from listening.
          if (!foreign.listening) await once(foreign.listen(port, '127.0.0.1'), 'listening');
          return {
            file: process.execPath,
            args: ['-e', SLOW_SERVER, String(port)],
            env: process.env,
            cwd: stateDir,
          };
        },
        isHealthy: async ({ port }) => (await ask(port)) !== undefined,
      };
      try {
        const onProgress = (line: string) => void progress.push(line);
        const { record } = await ensureServer(definition, { stateDir, onProgress });
        assert.equal(await ask(record.port), 'ours');
        assert.match(progress.join('\n'), /MLflow: another program took port \d+ meanwhile; trying another/);
      } finally {
        foreign.close();
      }
    });
  });

  test('are started again on the same ports after they died, with what their parent left ended', async () => {
    await withLocalProject(async (project) => {
      const before = await project.start();
      const record = await readServerRecord(project.stateDir, 'mlflow');
      const [leader, child] = record?.processes ?? [];
      assert.ok(leader !== undefined && child !== undefined);
      await endProcess(leader, { graceMs: 0 });
      const temporal = await readServerRecord(project.stateDir, 'temporal');
      for (const identity of temporal?.processes ?? []) await endProcess(identity, { graceMs: 0 });

      const after = await project.start();
      assert.deepEqual([after.temporal.started, after.mlflow.started], [true, true]);
      assert.deepEqual(
        [after.temporal.address, after.mlflow.trackingUri],
        [before.temporal.address, before.mlflow.trackingUri],
      );
      assert.equal(await readProcessIdentity(child.pid), undefined);
      assert.ok(project.progress.some((line) => line.startsWith('Temporal: has died')));
    });
  });

  test('never signal a process that got the pid of a dead server', async () => {
    await withLocalProject(async (project) => {
      const bystander = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { detached: true });
      const identity = await readProcessIdentity(bystander.pid ?? 0);
      assert.ok(identity !== undefined);
      try {
        const processes = [{ pid: identity.pid, startedAt: 'another time' }];
        await writeServerRecord(project.stateDir, { name: 'temporal', ...project.ports.temporal, processes });
        assert.equal((await project.start()).temporal.started, true);
        assert.deepEqual(await readProcessIdentity(identity.pid), identity);
      } finally {
        await endProcess(identity, { graceMs: 1_000 });
      }
    });
  });

  test('survive a record that was cut off', async () => {
    await withLocalProject(async (project) => {
      await project.start();
      await stopLocalServers(project);
      await writeFile(path.join(project.stateDir, 'temporal.json'), '{ "name": "temp');
      assert.equal((await project.start()).temporal.started, true);
    });
  });

  test('name the end of the log when a server does not come up', async () => {
    await withLocalProject(async (project) => {
      await assert.rejects(project.start({ FAKE_DIES: '1' }), {
        code: 'SETUP_FAILED',
        message:
          /^Temporal ended while it was starting\. Its log is .*temporal\.log; it ends with:\n {4}unable to open the database: disk I\/O error$/,
      });
      assert.equal((await readServerRecord(project.stateDir, 'temporal'))?.processes.length, 0);
    });
  });

  test('are not started where the settings name others', async () => {
    await withLocalProject(async (project) => {
      const services = await project.start({
        TEMPORAL_ADDRESS: 'temporal.example:7233',
        MLFLOW_TRACKING_URI: 'http://mlflow.example',
      });
      assert.deepEqual(services.temporal, {
        address: 'temporal.example:7233',
        namespace: 'default',
        external: true,
        started: false,
      });
      assert.deepEqual(services.mlflow, {
        trackingUri: 'http://mlflow.example',
        external: true,
        started: false,
      });
      assert.deepEqual(await readLocalState(project.stateDir), {});
    });
  });

  test('outlive the process that started them', async () => {
    await withLocalProject(async (project) => {
      await project.start();
      const stat = await readFile(`/proc/${(await project.starts('temporal'))[0]}/stat`, 'utf8').catch(
        () => undefined,
      );
      if (stat === undefined) return; // macOS has no /proc
      const [, , group, session] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      assert.equal(group, session);
      assert.notEqual(Number(session), process.pid);
    });
  });
});
