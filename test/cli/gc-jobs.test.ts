import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { Project } from '../../src/cli/context.js';
import { jobOf, runDirectory } from '../kubernetes/owned-jobs.js';
import { withKubernetes, writeKubeconfig } from '../kubernetes/kubernetes-world.js';
import { cli } from './fake-cli.js';

async function withOrphans(t: TestContext) {
  const world = await withKubernetes(t);
  const { api, server } = world;
  await api.createJob(jobOf('closed-a1', { runId: 'closed', epoch: 'e1' }));
  await api.createJob(jobOf('open-a1', { runId: 'open', epoch: 'e1' }));
  await api.createJob(jobOf('unknown-a1', { runId: 'unknown', epoch: 'e1' }));
  const env = await writeKubeconfig(t, server);
  const kubernetes = { namespace: server.namespace, image: 'x', jobsPerSecond: 1, maxWatchedJobs: 1 };
  const project = {
    config: { project: 'churn', file: '/p/anneal.yaml', kubernetes },
    temporal: async () => await Promise.resolve({ client: runDirectory({ open: 'e1', closed: 'closed' }) }),
    paths: { stateDir: '/p/state' },
    close: async () => await Promise.resolve(),
  };
  // What the command takes of a project is all that there is of this one.
  const openProject = async () => await Promise.resolve(project as object as Project);
  const names = () => server.state.list('jobs', () => true).map(({ metadata }) => metadata.name);
  return {
    ...world,
    project,
    names,
    run: async (...args: string[]) => await cli(args, { env, openProject }),
  };
}

test('gc --jobs --dry-run shows the Jobs that nobody waits for, and why', async (t) => {
  const { run, names } = await withOrphans(t);
  const { code, out } = await run('gc', '--jobs', '--dry-run');
  assert.equal(code, 0);
  assert.match(out, /closed-a1 +closed .*its run is over/);
  assert.match(out, /unknown-a1 .*Temporal does not know its run: left alone/);
  assert.doesNotMatch(out, /open-a1/);
  const { document } = await run('gc', '--jobs', '--dry-run', '--json');
  const { jobs, dryRun, ended } = document() as {
    jobs: { name: string; why: string }[];
    dryRun: boolean;
    ended: null;
  };
  assert.deepEqual(
    jobs.map(({ name, why }) => [name, why]),
    [
      ['closed-a1', 'closed'],
      ['unknown-a1', 'unknown'],
    ],
  );
  assert.deepEqual([dryRun, ended], [true, null]);
  assert.equal(names().length, 3);
});

test('gc --jobs ends nothing where nobody can be asked, and with --yes what nobody waits for', async (t) => {
  const { run, names } = await withOrphans(t);
  const unasked = await run('gc', '--jobs');
  assert.equal(unasked.code, 2);
  assert.match(unasked.err, /Nothing was ended, since nobody can be asked here\. Give --yes/);
  const { code, document } = await run('gc', '--jobs', '--yes', '--json');
  assert.equal(code, 0);
  assert.deepEqual((document() as { ended: string[] }).ended, ['closed-a1']);
  assert.deepEqual(names(), ['open-a1', 'unknown-a1']);
});

test('gc --jobs says what is wrong with the cluster in one sentence', async (t) => {
  const { run, server, project } = await withOrphans(t);
  server.fail({
    times: 9,
    answer: { status: 403, message: 'jobs.batch is forbidden: User "ann" cannot list resource "jobs"' },
  });
  const forbidden = await run('gc', '--jobs', '--dry-run');
  assert.match(
    forbidden.err,
    /^PodRefused: This worker may not do that in namespace "team-a": .*cannot list resource "jobs"/,
  );
  const without = { ...project, config: { project: 'churn', file: '/p/anneal.yaml' } };
  const { code, err } = await cli(['gc', '--jobs'], {
    openProject: async () => await Promise.resolve(without as object as Project),
  });
  assert.equal(code, 2);
  assert.match(err, /InvalidConfig: No pool in \/p\/anneal\.yaml is on Kubernetes/);
});
