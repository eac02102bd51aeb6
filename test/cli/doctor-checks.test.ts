import assert from 'node:assert/strict';
import { mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import type { CommandContext } from '../../src/cli/command.js';
import { runChecks } from '../../src/cli/doctor-checks.js';
import { openProject as openProjectAt } from '../../src/cli/open-project.js';
import { createTerminal } from '../../src/cli/terminal.js';
import { withKubernetes, writeKubeconfig } from '../kubernetes/kubernetes-world.js';
import { cli } from './fake-cli.js';

test('doctor names a Temporal CLI that is set and does not run, with the mend', async () => {
  const env = { ANNEAL_TEMPORAL_CLI: '/nowhere/temporal' };
  const silent = { write: () => true };
  const context: CommandContext = {
    terminal: createTerminal({ stdout: silent, stderr: silent, env }, { json: false }),
    env,
    cwd: '/',
    nowMs: () => 0,
    openProject: async () => await Promise.reject(new Error('there is no project')),
    interruptible: async (work) => await work(new AbortController().signal),
  };
  const finding = (await runChecks(context)).find(({ name }) => name === 'Temporal CLI');
  assert.deepEqual(finding, {
    name: 'Temporal CLI',
    level: 'error',
    found: 'ANNEAL_TEMPORAL_CLI is /nowhere/temporal, which does not run here',
    mend: 'Correct it, or unset it to have one found or installed.',
  });
});

test('doctor --kubernetes says in one sentence which context is wrong, and answers with exit code 1', async (t) => {
  const { server } = await withKubernetes(t);
  const env = { ...(await writeKubeconfig(t, server)), ANNEAL_TEMPORAL_CLI: '/nowhere/temporal' };
  const folder = await realpath(await mkdtemp(path.join(tmpdir(), 'anneal-doctor-')));
  t.after(async () => await rm(folder, { recursive: true, force: true }));
  const write = async (context: string) =>
    await writeFile(
      path.join(folder, 'anneal.yaml'),
      `project: churn\nstore: s3://bucket/churn\nkubernetes: { context: ${context}, namespace: team-a, image: "x:1" }\npools: { gpu: { executor: kubernetes } }\n`,
    );
  const look = async () => {
    const openProject = async () => await openProjectAt({ cwd: folder, env });
    const { code, document } = await cli(['doctor', '--kubernetes', '--json'], {
      env,
      cwd: folder,
      openProject,
    });
    const findings = document() as { name: string; level: string; found: string }[];
    return { code, of: (name: string) => findings.find((finding) => finding.name === name) };
  };
  await write('prod');
  const wrong = await look();
  assert.equal(wrong.code, 1);
  assert.match(
    wrong.of('Kubernetes')?.found ?? '',
    /^There is no context "prod" in the kubeconfig .*; it has "test"\. Correct/,
  );
  await write('test');
  const right = await look();
  assert.equal(right.of('Kubernetes')?.level, 'ok');
  assert.match(right.of('Namespace')?.found ?? '', /"team-a" does not exist/);
});
