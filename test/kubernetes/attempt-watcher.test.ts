import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import v8 from 'node:v8';
import vm from 'node:vm';
import { aJob, until, withKubernetes } from './kubernetes-world.js';

v8.setFlagsFromString('--expose-gc');

const ended = { phase: 'Succeeded' };

/** A world in which a Job with one running pod is watched. */
async function withAttempt(t: Parameters<typeof withKubernetes>[0], times = {}) {
  const world = await withKubernetes(t);
  await world.api.createJob(aJob('train-a1'));
  const pod = world.server.addPod('train-a1', { phase: 'Running' }).metadata.name;
  const watcher = await world.watcher(times);
  let calls = 0;
  watcher.onChange('train-a1', () => void calls++);
  const phase = () => watcher.view('train-a1').pods[0]?.status?.phase;
  await until('both watches are open', () => world.server.openWatches === 2);
  return { ...world, watcher, pod, phase, calls: () => calls };
}

describe('the attempt watcher', () => {
  test('knows what there was before it looked, and each change after', async (t) => {
    const { server, watcher, pod, phase, calls } = await withAttempt(t);
    assert.equal(watcher.view('train-a1').job?.metadata?.name, 'train-a1');
    assert.equal(phase(), 'Running');
    assert.equal(calls(), 0);
    server.setStatus('pods', pod, { ...ended, startTime: '2026-11-23T10:00:00Z' });
    await until('the ending is seen', () => phase() === 'Succeeded');
    assert.equal(calls(), 1);
    assert.deepEqual(watcher.view('train-a1').pods[0]?.status?.startTime, new Date('2026-11-23T10:00:00Z'));
    server.setStatus('jobs', 'train-a1', { conditions: [{ type: 'Complete', status: 'True' }] });
    await until('the Job is seen', () => calls() === 2);
    server.state.remove('jobs', 'train-a1');
    server.state.remove('pods', pod);
    await until('both are gone', () => calls() === 4);
    assert.deepEqual(watcher.view('train-a1'), { pods: [] });
  });

  test('asks nothing while it waits: two lists and two watches for any number of Jobs', async (t) => {
    const { server, watcher, api } = await withAttempt(t);
    for (let i = 0; i < 50; i++) {
      await api.createJob(aJob(`j${i}-a1`));
      const pod = server.addPod(`j${i}-a1`);
      let over = false;
      watcher.onChange(`j${i}-a1`, () => {
        over ||= watcher.view(`j${i}-a1`).pods[0]?.status?.phase === 'Succeeded';
      });
      server.setStatus('pods', pod.metadata.name, ended);
      await until('its ending is seen', () => over);
    }
    assert.equal(watcher.watchedJobs, 51);
    assert.equal(server.requests.filter(({ method }) => method === 'GET').length, 4);
  });

  test('other projects, and what Anneal did not make, are none of its business', async (t) => {
    const { server, watcher } = await withAttempt(t);
    server.state.put('jobs', {
      metadata: { name: 'other', labels: { 'app.kubernetes.io/managed-by': 'anneal' } },
    });
    server.state.put('jobs', { metadata: { name: 'theirs' } });
    server.setStatus('jobs', 'train-a1', { active: 1 });
    await until('the Job has its status', () => watcher.view('train-a1').job?.status?.active === 1);
    assert.deepEqual(
      watcher.jobs().map((job) => job.metadata?.name),
      ['train-a1'],
    );
  });

  test('the answer of a create counts before the watch tells it, and not after the Job went', async (t) => {
    const { server, watcher, api } = await withAttempt(t);
    server.conduct.mute = true;
    const job = await api.createJob(aJob('next-a1'));
    assert.equal(watcher.view('next-a1').job, undefined);
    watcher.seen(job);
    assert.ok(watcher.view('next-a1').job);
    server.conduct.mute = false;
    server.setStatus('jobs', 'next-a1', { active: 1 });
    await until('the watch goes on', () => watcher.view('next-a1').job?.status?.active === 1);
    watcher.seen(job);
    assert.equal(watcher.view('next-a1').job?.status?.active, 1, 'an old answer changes nothing');
    server.state.remove('jobs', 'next-a1');
    await until('it is gone', () => watcher.view('next-a1').job === undefined);
    watcher.seen(job);
    assert.equal(watcher.view('next-a1').job, undefined);
  });

  test('a listener that throws or rejects keeps no other from being called', async (t) => {
    const { server, watcher, pod, problems, phase } = await withAttempt(t);
    const bad = () => {
      throw new Error('a bug in a listener');
    };
    const worse: () => unknown = async () => await Promise.reject(new Error('a bug in an async listener'));
    watcher.onChange('train-a1', bad);
    watcher.onChange('train-a1', worse);
    let called = 0;
    const end = watcher.onChange('train-a1', () => void called++);
    server.setStatus('pods', pod, { message: 'one' });
    await until('it was called', () => called === 1);
    end();
    server.setStatus('pods', pod, ended);
    await until('the watch lives', () => phase() === 'Succeeded');
    assert.equal(called, 1);
    assert.match(problems.map(String).join(), /a bug in a listener.*a bug in an async listener/);
    assert.equal(server.requests.length, 5, 'one create, two lists, two watches: none was opened again');
  });

  test('a first list that is refused is said; the watcher goes on, and works once it may', async (t) => {
    const { server, watcher } = await withKubernetes(t);
    server.fail({ resource: 'pods', answer: { status: 403, message: 'pods is forbidden' } });
    await assert.rejects(watcher(), /pods is forbidden/);
    const again = await watcher();
    assert.deepEqual(again.jobs(), []);
  });

  test('stop ends its connections', async (t) => {
    const { server, watcher } = await withAttempt(t);
    await watcher.stop();
    await until('no watch is open', () => server.openWatches === 0);
  });
});

describe('no ending is missed', () => {
  type World = Awaited<ReturnType<typeof withAttempt>>;
  const faults: { readonly [name: string]: (world: World) => void | Promise<void> } = {
    'when connections are cut': ({ server }) => server.cutWatches(),
    'when the server ends the watches': ({ server }) => server.endWatches(),
    'when a line is truncated': ({ server, pod }) => {
      server.conduct.truncateNext = true;
      server.setStatus('jobs', 'train-a1', { active: 1 });
      server.setStatus('pods', pod, { message: 'cut off' });
    },
    'when a line is no JSON': ({ server, pod }) => {
      server.conduct.garbageNext = true;
      server.setStatus('jobs', 'train-a1', { active: 1 });
      server.setStatus('pods', pod, { message: 'garbled' });
    },
    'when the server has forgotten the place of the watch': ({ server, pod }) => {
      server.conduct.mute = true;
      server.setStatus('pods', pod, { message: 'nobody is told' });
      server.state.compact();
      server.conduct.mute = false;
      server.cutWatches();
    },
    'when it says so within the watch': ({ server, pod }) => {
      server.conduct.mute = server.conduct.goneInStream = true;
      server.setStatus('pods', pod, { message: 'nobody is told' });
      server.state.compact();
      server.conduct.mute = false;
      server.cutWatches();
    },
    'when new watches are refused with 429 for a while': ({ server }) => {
      server.fail({ watch: true, times: 3, answer: { status: 429, retryAfter: 0.2 } });
      server.cutWatches();
    },
    'when the server fails for a while': ({ server }) => {
      server.fail({ times: 8, answer: { status: 500 } });
      server.cutWatches();
    },
    'when a relist fails on its way': ({ server }) => {
      server.state.compact();
      server.fail({ watch: false, times: 3, answer: 'cut' });
      server.cutWatches();
    },
    'when watches hang from the start': ({ server }) => {
      server.fail({ watch: true, times: 2, answer: 'hang' });
      server.cutWatches();
    },
    'when the server is slow': ({ server }) => {
      server.conduct.delayMs = 150;
      server.cutWatches();
    },
    'when the server is away and comes back': async ({ server }) => {
      await server.goAway();
      setTimeout(() => void server.comeBack(), 300);
    },
  };

  for (const [name, happen] of Object.entries(faults)) {
    test(name, async (t) => {
      const world = await withKubernetesPatience(t);
      await happen(world);
      world.server.setStatus('pods', world.pod, ended);
      await until('the ending is seen', () => world.phase() === 'Succeeded', 10_000);
      const { resourceVersion } = world.watcher.view('train-a1').pods[0]?.metadata ?? {};
      assert.equal(resourceVersion, world.server.state.read('pods', world.pod)?.metadata.resourceVersion);
      assert.ok(world.calls() > 0);
    });
  }

  const withKubernetesPatience = async (t: Parameters<typeof withAttempt>[0]) =>
    await withAttempt(t, { idleMs: 900 });

  test('when a pod ends and is removed between two watches', async (t) => {
    const { server, watcher, pod, calls } = await withAttempt(t);
    server.fail({ watch: true, times: 2, answer: 'cut' });
    server.cutWatches();
    server.setStatus('pods', pod, ended);
    server.state.remove('pods', pod);
    await until('it is gone', () => watcher.view('train-a1').pods.length === 0);
    assert.ok(calls() >= 1);
  });

  test('when it went while the server forgot: the new list drops it, and listeners are called', async (t) => {
    const { server, watcher, pod, calls } = await withAttempt(t);
    server.conduct.mute = true;
    server.state.remove('pods', pod);
    server.state.compact();
    const before = calls();
    server.conduct.mute = false;
    server.cutWatches();
    await until('it is gone', () => watcher.view('train-a1').pods.length === 0);
    assert.ok(calls() > before);
  });

  test('when a half-open watch says nothing more: it is taken for dead and opened anew, without a new list', async (t) => {
    const { server, watcher, pod, phase } = await withAttempt(t, { idleMs: 400 });
    server.conduct.mute = true;
    server.setStatus('pods', pod, ended);
    await until('the dead watches were replaced', () => server.requests.filter((r) => r.watch).length >= 4);
    assert.equal(phase(), 'Running');
    server.conduct.mute = false;
    await until('the ending is seen', () => phase() === 'Succeeded');
    assert.equal(server.requests.filter(({ method, watch }) => method === 'GET' && !watch).length, 2);
    await until('it knows that it is current', () => watcher.lagMs === 0);
  });

  test('while bookmarks come, a quiet watch is left alone; the next starts where they were', async (t) => {
    const { server } = await withAttempt(t, { idleMs: 500 });
    for (let i = 0; i < 8; i++) {
      server.bookmark();
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    assert.equal(server.requests.filter(({ watch }) => watch).length, 2);
    server.state.put('secrets', { metadata: { name: 'unrelated' } });
    server.bookmark();
    const newest = String(server.state.version);
    server.endWatches();
    await until('new watches are open', () => server.requests.filter(({ watch }) => watch).length === 4);
    const from = server.requests
      .filter(({ watch }) => watch)
      .slice(2)
      .map(({ query }) => query.get('resourceVersion'));
    assert.deepEqual(from, [newest, newest]);
  });
});

test('a server that refuses all the time is asked less and less often, never in step', async (t) => {
  const { server } = await withAttempt(t, { firstPauseMs: 20, longestPauseMs: 200 });
  server.fail({ watch: true, times: 1_000, answer: { status: 503 } });
  const from = server.requests.length;
  server.cutWatches();
  await until('each was refused many times', () => server.requests.length - from >= 24, 20_000);
  const of = (resource: string) =>
    server.requests
      .slice(from)
      .filter((r) => r.resource === resource)
      .map(({ atMs }) => atMs);
  const pauses = of('pods')
    .slice(1)
    .map((at, index) => at - (of('pods')[index] ?? 0));
  const mean = (list: number[]) => list.reduce((sum, pause) => sum + pause, 0) / list.length;
  assert.ok(Math.max(...pauses) <= 400, `${pauses.join()}`);
  assert.ok(mean(pauses.slice(-5)) > 20, `${pauses.join()}`);
  assert.notDeepEqual(of('pods').slice(0, 3), of('jobs').slice(0, 3));
});

test('lag is the time since a watch was last open', async (t) => {
  const { server, watcher } = await withAttempt(t);
  await until('it is current', () => watcher.lagMs === 0);
  await server.goAway();
  await until('the lag grows', () => watcher.lagMs > 100);
  await server.comeBack();
  await until('it is current again', () => watcher.lagMs === 0);
});

test('all is listed again from time to time, should an event have been lost', async (t) => {
  const { server, pod, phase } = await withAttempt(t, { relistMs: 200, idleMs: 150 });
  server.conduct.mute = true;
  server.setStatus('pods', pod, ended);
  await until('the list has it', () => phase() === 'Succeeded');
});

test('1,000 Jobs and pods fit into little memory, and each ending is told once', async (t) => {
  const world = await withKubernetes(t);
  const { server } = world;
  const padding = Object.fromEntries(
    Array.from({ length: 40 }, (_, i) => [`ANNEAL_VARIABLE_${i}`, 'x'.repeat(60)]),
  );
  const labels = { 'app.kubernetes.io/managed-by': 'anneal', 'anneal.dev/project': 'churn' };
  const spec = { containers: [1, 2, 3].map((i) => ({ name: `c${i}`, env: Object.entries(padding) })) };
  const managedFields = [{ manager: 'kubelet', fieldsV1: padding }];
  const watcher = await world.watcher();
  const over = new Map<string, number>();
  for (let i = 0; i < 1_000; i++) {
    const name = `j${i}-a1`;
    server.state.put('jobs', { metadata: { name, labels, managedFields }, spec: { template: { spec } } });
    watcher.onChange(name, () => {
      if (watcher.view(name).pods[0]?.status?.phase === 'Succeeded')
        over.set(name, (over.get(name) ?? 0) + 1);
    });
    const podLabels = { ...labels, 'batch.kubernetes.io/job-name': name };
    server.state.put('pods', {
      metadata: { name, labels: podLabels, managedFields },
      spec,
      status: { phase: 'Running' },
    });
  }
  for (let i = 0; i < 1_000; i++) server.setStatus('pods', `j${i}-a1`, ended);
  await until('all endings are told', () => over.size === 1_000, 20_000);
  assert.deepEqual([...new Set(over.values())], [1]);
  assert.equal(watcher.view('j5-a1').pods[0]?.metadata?.managedFields, undefined);
  const before = heapMb();
  const second = await world.watcher();
  const held = heapMb() - before;
  t.diagnostic(`a watcher of 1,000 Jobs and pods holds ${held.toFixed(1)} MB`);
  assert.equal(second.jobs().length, 1_000);
  assert.ok(held < 120, `${held} MB`);
});

const collect = vm.runInNewContext('gc') as () => void;

function heapMb(): number {
  collect();
  return process.memoryUsage().heapUsed / 2 ** 20;
}
