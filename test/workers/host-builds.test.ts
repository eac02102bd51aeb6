import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Build } from '../../src/workers/build/build-manifest.js';
import { createBuildHost } from '../../src/workers/host-builds.js';

describe('the builds that a machine hosts', () => {
  test('are the current one and every older one with open runs, however many there are', async () => {
    const names = Array.from({ length: 50 }, (_, i) => `old-${i}`);
    const machine = createMachine(['new', ...names]);
    machine.open = new Map([
      ['old-3', 1],
      ['old-49', 1],
    ]);
    await machine.host.hostWanted([build('new')]);
    await machine.host.tend();
    assert.deepEqual([...machine.running], ['new', 'old-3', 'old-49']);
  });

  test('lose one whose runs have ended a while ago, and get it back when a run of it is open again', async () => {
    const machine = createMachine(['a', 'b']);
    await machine.host.hostWanted([build('a')]);
    await machine.host.hostWanted([build('b')]);
    machine.open.set('a', 1);
    await machine.host.tend();
    machine.nowMs += 600_000;
    await machine.host.tend();
    assert.deepEqual([...machine.running], ['a', 'b']);

    machine.open.clear();
    await machine.host.tend();
    assert.deepEqual([...machine.running], ['a', 'b']);
    assert.ok(machine.host.hosts('a'));
    machine.nowMs += 60_000;
    await machine.host.tend();
    assert.deepEqual([...machine.running], ['b']);
    assert.ok(!machine.host.hosts('a'));

    machine.open.set('a', 1);
    await machine.host.tend();
    assert.deepEqual([...machine.running], ['b', 'a']);
  });

  test('keep the current one without runs', async () => {
    const machine = createMachine(['a']);
    await machine.host.hostWanted([build('a')]);
    await machine.host.tend();
    machine.nowMs += 600_000;
    await machine.host.tend();
    assert.deepEqual([...machine.running], ['a']);
  });

  test('keep one that takes a share of new runs, as long as it does', async () => {
    const machine = createMachine(['a', 'b']);
    await machine.host.hostWanted([build('a'), build('b')]);
    await machine.host.tend();
    machine.nowMs += 600_000;
    await machine.host.tend();
    assert.deepEqual([...machine.running], ['a', 'b']);
    await machine.host.hostWanted([build('a')]);
    await machine.host.tend();
    machine.nowMs += 600_000;
    await machine.host.tend();
    assert.deepEqual([...machine.running], ['a']);
  });

  test('say once how many open runs have their build elsewhere', async () => {
    const machine = createMachine(['a']);
    machine.open = new Map([['elsewhere', 2]]);
    await machine.host.hostWanted([build('a')]);
    await machine.host.tend();
    await machine.host.tend();
    assert.equal(machine.logged.length, 1);
    assert.match(machine.logged[0] ?? '', /^2 open runs do not go on here/);
  });

  test('are not held up by one whose worker does not start', async () => {
    const machine = createMachine(['a', 'broken', 'c']);
    machine.open = new Map([
      ['broken', 1],
      ['c', 1],
    ]);
    await machine.host.hostWanted([build('a')]);
    await machine.host.tend();
    assert.deepEqual([...machine.running], ['a', 'c']);
    assert.match(machine.logged[0] ?? '', /build broken do not go on here: Error: no such module/);
  });
});

function build(digest: string): Build {
  const manifest: Partial<Build['manifest']> = { digest };
  return { digest, dir: digest, manifest: manifest as Build['manifest'] };
}

function createMachine(onDisk: readonly string[]) {
  const state = {
    nowMs: 0,
    running: new Set<string>(),
    open: new Map<string, number>(),
    logged: [] as string[],
  };
  const host = createBuildHost({
    listBuilds: () => Promise.resolve(onDisk.map(build)),
    countOpenRunsOutside: (digests) =>
      Promise.resolve(
        [...state.open].reduce((sum, [digest, count]) => (digests.includes(digest) ? sum : sum + count), 0),
      ),
    hasOpenRuns: (digest) => Promise.resolve((state.open.get(digest) ?? 0) > 0),
    start: ({ digest }) => {
      if (digest === 'broken') return Promise.reject(new Error('no such module'));
      state.running.add(digest);
      return Promise.resolve(() => void state.running.delete(digest));
    },
    nowMs: () => state.nowMs,
    log: (message) => void state.logged.push(message),
  });
  return Object.assign(state, { host });
}
