import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { readProcessIdentity } from '../../src/adapters/process-identity.js';
import { listAttempts } from '../../src/adapters/process-executor/attempt-directory.js';
import { connectProject } from '../../src/client/index.js';
import { pipelinesTaskQueue } from '../../src/core/run.js';
import { DESK, keyFile, TALKS_LINES } from '../cli/desk-project.js';
import { loadHostName } from '../../src/workers/host-name.js';
import { announceServedPools } from '../../src/workers/served-pools.js';
import { startDeskWorld, testEnvironment, type Answer, type DeskWorld } from '../cli/desk-world.js';
import { until } from './support/until.js';

/** Largest payload that is in the history itself. */
const PAYLOAD_LIMIT = 64 * 1024;
const LONG_ID = `nightly/2026-11-23 it's ${'x'.repeat(276)}`;

describe('the command line on a real server', () => {
  let world: DeskWorld;
  before(async () => {
    world = await startDeskWorld();
    await world.startWorker();
  });
  after(async () => {
    await world.close();
    const left = await Promise.all(pids.map(readProcessIdentity));
    assert.deepEqual(left.filter(Boolean), [], 'no process of a step is left');
  });

  /** Processes that steps said they were. */
  const pids: number[] = [];
  const run = async (...argv: string[]) => await world.cli(['run', ...argv]);
  const runJson = async (...argv: string[]) => (await run(...argv, '--wait', '--json')).document();

  /** A run of `talks` that has printed all its lines and waits for `finish`. */
  const startTalks = async (id: string) => {
    const control = path.join(world.root, `control-${pids.length}`);
    await mkdir(control);
    assert.equal((await run('talks', '--param', `control=${control}`, '--id', id)).code, 0);
    const pid = await until(`${id} talks`, async () => {
      const logs = await world.cli(['logs', id]);
      if (!logs.out.includes(`line ${TALKS_LINES} `)) return undefined;
      return Number(await readFile(path.join(control, 'pid'), 'utf8'));
    });
    pids.push(pid);
    return { pid, finish: async () => await writeFile(path.join(control, 'finish'), '') };
  };

  test('run --wait ends with 0 for a run that succeeded, and --json is its report', async () => {
    const program = world.spawn('run', 'quick', '--param', 'n=4', '--wait', '--json');
    assert.equal((await program.exited()).code, 0, program.output());
    const report = JSON.parse(program.document()) as Record<string, unknown>;
    assert.deepEqual(
      [report['state'], report['result'], report['parameters'], report['pipeline'], report['project']],
      ['completed', { n: 4 }, { n: 4, color: 'red', text: '' }, 'quick', DESK.project],
    );
    assert.deepEqual(
      (report['steps'] as { name: string; state: string }[]).map(({ name, state }) => [name, state]),
      [['write', 'succeeded']],
    );
  });

  test('run --wait ends with 1 for a run that failed, and says why with the end of its log', async () => {
    const program = world.spawn('run', 'breaks', '--wait');
    assert.equal((await program.exited()).code, 1);
    assert.match(program.output(), /StepFailed: Step "fail" ended with exit code 3/);
    assert.match(program.output(), /│ no such table/);
    const report = await runJson('breaks');
    assert.equal((report['failure'] as { code: string }).code, 'StepFailed');
  });

  test('run without --wait answers with the ids', async () => {
    const { code, document } = await run('quick', '--id', 'first', '--json');
    assert.equal(code, 0);
    assert.deepEqual(Object.keys(document()).sort(), ['executionId', 'runId']);
    assert.equal(document()['runId'], 'first');
  });

  test('an unknown pipeline, parameter, run or step ends with 2 and names the nearest', async () => {
    const cases: readonly [readonly string[], RegExp][] = [
      [['run', 'quikc'], /^UnknownPipeline: .*Did you mean "quick"\?\n$/],
      [['run', 'quick', '--param', 'colour=red'], /^InvalidParameter: .*Did you mean "color"\?\n$/],
      [['run', 'quick', '--param', 'color=gren'], /^InvalidParameter: .*"red", "green"/],
      [['run', 'quick', '--param', 'n=12'], /^InvalidParameter: .*from 0 to 9/],
      [['describe', 'frist'], /^RunNotFound: .*Did you mean "first"\?\n$/],
      [['logs', 'frist'], /^RunNotFound: .*Did you mean "first"\?\n$/],
      [['cancel', 'frist', '--json'], /^$/],
      [['terminate', 'frist'], /^RunNotFound: .*Did you mean "first"\?\n$/],
      [['logs', 'first', 'wirte'], /^InvalidInput: .*Did you mean "write"\?\n$/],
      [['descrive', 'first'], /Did you mean describe\?/],
      [['list', '--state', 'runing'], /^InvalidCommand: .*Did you mean "running"\?\n$/],
    ];
    for (const [argv, expected] of cases) {
      const { code, err, out } = await world.cli(argv);
      assert.equal(code, 2, `${argv.join(' ')}: ${err}${out}`);
      if (argv.includes('--json')) assert.match(out, /"code": "RunNotFound"/);
      else assert.match(err, expected);
      assert.doesNotMatch(err + out, /\n\s+at /);
    }
  });

  test('a step that names a pool that is not there fails its run at once, with the pools that are', async () => {
    const report = await runJson('needs-gpus');
    assert.deepEqual(report['failure'], {
      code: 'NoPoolFits',
      message:
        'Step "on-gpus" names pool "gpus"; the project has "cpu", "gpu". Did you mean "gpu"? Correct the step\'s pool, or add one to anneal.yaml.',
    });
  });

  test('a second run of an id is refused with what the first is', async () => {
    const { code, err } = await run('quick', '--id', 'first');
    assert.equal(code, 2);
    assert.match(err, /^RunExists: Run "first" exists already: pipeline "quick", .*anneal describe first\n$/);
  });

  test('a run id with slashes, blanks and 300 characters can be described, read and cancelled', async () => {
    assert.equal(LONG_ID.length, 300);
    const { pid } = await startTalks(LONG_ID);
    const described = (await world.cli(['describe', LONG_ID, '--json'])).document();
    assert.deepEqual([described['runId'], described['state']], [LONG_ID, 'running']);
    const again = await run('talks', '--param', 'control=/nowhere', '--id', LONG_ID);
    assert.match(
      again.err,
      /it has been running since .*anneal describe 'nightly\/2026-11-23 it'\\''s x+'\n$/,
    );
    const cancelled = await world.cli(['cancel', LONG_ID, '--json']);
    assert.deepEqual(cancelled.document(), { runId: LONG_ID, state: 'cancelled' });
    assert.equal(await readProcessIdentity(pid), undefined, 'cancelling is over when the process is gone');
    assert.deepEqual(await listAttempts(world.paths.attemptsDir), []);
    const { out } = await world.cli(['logs', LONG_ID]);
    assert.equal(out.match(/^line \d+ é$/gm)?.length, TALKS_LINES);
  });

  test('a parameter of 5 MB is refused, and one of 500 KB travels outside the history', async () => {
    const file = path.join(world.root, 'parameters.json');
    await writeFile(file, JSON.stringify({ text: 'x'.repeat(5_000_000) }));
    const refused = await run('quick', '--params-file', file);
    assert.equal(refused.code, 2);
    assert.match(refused.err, /5000000.*put larger data into a dataset/);

    // The limit counts all parameters as one JSON object, with their defaults.
    const most = 1_000_000 - JSON.stringify({ n: 1, color: 'red', text: '' }).length;
    await writeFile(file, JSON.stringify({ text: 'x'.repeat(most + 1) }));
    assert.match(
      (await run('quick', '--params-file', file)).err,
      /have 1000001 characters of JSON; at most 1000000 are allowed\. Put/,
    );
    await writeFile(file, JSON.stringify({ text: 'x'.repeat(most) }));
    assert.equal((await runJson('quick', '--params-file', file))['state'], 'completed');

    await writeFile(file, JSON.stringify({ text: 'y'.repeat(500_000) }));
    const report = await runJson('quick', '--params-file', file, '--id', 'half-a-megabyte');
    assert.equal(report['state'], 'completed');
    assert.equal((report['parameters'] as { text: string }).text.length, 500_000);
    const history = await world.temporal.workflow.getHandle('half-a-megabyte').fetchHistory();
    const sizes = [...payloadSizes(history)];
    assert.ok(sizes.length > 5, 'there are payloads');
    assert.ok(Math.max(...sizes) < PAYLOAD_LIMIT, `the largest payload has ${Math.max(...sizes)} bytes`);
  });

  test('a script connects to a project as the commands do, and reads what is kept in the store', async () => {
    const text = 'z'.repeat(100_000);
    const { client, temporal, project, close } = await connectProject({
      project: world.root,
      env: testEnvironment(),
    });
    try {
      const { runId } = await client.startRun('quick', { parameters: { text } });
      const { state, parameters } = await client.wait(runId);
      assert.deepEqual([project, state, parameters['text']], [DESK.project, 'completed', text]);
      const { events } = await temporal.workflow.getHandle(runId).fetchHistory();
      const input = events?.[0]?.workflowExecutionStartedEventAttributes?.input?.payloads ?? [];
      assert.match(Buffer.from(input[0]?.data ?? []).toString(), /^\{"key":"payloads\//);
      let log = '';
      for await (const { text: part } of client.logs(runId)) log += part;
      assert.equal(log, 'writes 1\n');
    } finally {
      await close();
    }
  });

  test('logs --follow shows every line once, from the live file to the end', async () => {
    const { finish } = await startTalks('followed');
    const following = world.cli(['logs', 'followed', 'talk', '--follow']);
    await finish();
    const { code, out } = await following;
    assert.equal(code, 0);
    const lines = Array.from({ length: TALKS_LINES }, (_, i) => `line ${i + 1} é`);
    assert.equal(out, `── talk, attempt 1 ──\n${lines.join('\n')}\nlast line\n`);
    assert.equal((await world.cli(['logs', 'followed'])).out, out, 'the whole log afterwards is the same');
  });

  test('terminate ends what the run had going', async () => {
    const { pid } = await startTalks('terminated');
    const { code, document } = await world.cli(['terminate', 'terminated', '--reason', 'a test', '--json']);
    assert.equal(code, 0);
    assert.equal(document()['state'], 'terminated');
    assert.equal(await readProcessIdentity(pid), undefined);
    const { out } = await world.cli(['describe', 'terminated']);
    assert.match(out, /The run was terminated: a test/);
  });

  describe('approvals', () => {
    const waiting = async (id: string) => {
      assert.equal((await run('asks', '--id', id)).code, 0);
      return await until(`${id} asks`, async () => {
        const report = (await world.cli(['describe', id, '--json'])).document();
        const [gate] = report['approvals'] as { gate: string; digest: string }[];
        return report['state'] === 'waiting-for-approval' && gate;
      });
    };
    const ended = async (id: string) =>
      await until(`${id} has ended`, async () => {
        const report = (await world.cli(['describe', id, '--json'])).document();
        return ['completed', 'failed'].includes(String(report['state'])) && report;
      });

    const as = (name: string) => ['--key', path.join(world.root, keyFile(name))];

    test('a wrong gate, a wrong digest and somebody who may not decide are refused; then it is approved', async () => {
      const { digest } = await waiting('asked');
      const decide = async (...argv: string[]) => await world.cli(['approve', 'asked', ...argv]);
      const wrong: readonly [Answer, RegExp][] = [
        [await decide('go-life', ...as('ana')), /^InvalidInput: .*Did you mean "go-live"\?/],
        [
          await decide('go-live', ...as('ana'), '--digest', 'f'.repeat(64)),
          /is for digest ffffffffffff; what waits has/,
        ],
        [
          await decide('go-live', '--by', 'eve', ...as('eve')),
          /"eve" may not decide on "go-live"; these may: ana, bo\./,
        ],
        [await decide('go-live', '--by', 'ana'), /"ana" on "go-live" is not signed/],
        [
          await decide('go-live', '--by', 'ana', ...as('eve')),
          /a key that anneal.yaml does not list for "ana"/,
        ],
        [await decide('go-live', '--set', 'x=1', ...as('ana')), /no parameter "x"/],
        [await decide('go-live', '--key', '/no/such/key'), /cannot be read/],
      ];
      for (const [{ code, err }, expected] of wrong) {
        assert.equal(code, 2, err);
        assert.match(err, expected);
      }
      const { out } = await world.cli(['describe', 'asked']);
      assert.match(out, /Waiting for a decision on "go-live" .*anneal approve asked go-live/);
      const inbox = async (name: string) =>
        (await world.cli(['approvals', '--mine', '--by', name, '--json'])).list() as { runId: string }[];
      assert.deepEqual(
        (await inbox('bo')).map(({ runId }) => runId),
        ['asked'],
      );
      assert.deepEqual(await inbox('eve'), []);
      const made = await decide('go-live', ...as('ana'), '--comment', 'good', '--json');
      const { atMs, signature, ...decision } = made.document();
      assert.deepEqual(decision, {
        runId: 'asked',
        gate: 'go-live',
        decision: 'approve',
        by: 'ana',
        comment: 'good',
        digest,
      });
      assert.ok(Number(atMs) > 0 && signature);
      const report = await ended('asked');
      assert.deepEqual(report['result'], {
        by: 'ana',
        approvedBy: ['ana'],
        verified: true,
        form: {},
        comment: 'good',
      });
      const late = await decide('go-live', ...as('ana'));
      assert.match(late.err, /Run "asked" is completed; nothing of it waits for a decision\./);
      assert.deepEqual(await inbox('bo'), []);
    });

    test('an audit tells who decided what and checks the signatures', async () => {
      const { code, document } = await world.cli(['audit', 'asked', '--verify', '--json']);
      assert.equal(code, 0);
      const [decision, ...others] = document()['decisions'] as { by: string; check: string }[];
      assert.deepEqual([decision?.by, decision?.check, others.length], ['ana', 'valid', 0]);
      const { out } = await world.cli(['audit', 'asked', '--verify']);
      assert.match(out, /approve {2}"go-live" {2}by ana \(valid\)/);
      const yaml = path.join(world.root, 'anneal.yaml');
      const before = await readFile(yaml, 'utf8');
      await writeFile(yaml, before.replace('  ana:', '  zoe:'));
      try {
        const gone = await world.cli(['audit', 'asked', '--verify']);
        assert.equal(gone.code, 1);
        assert.match(gone.out, /by ana \(unknown-key\)/);
      } finally {
        await writeFile(yaml, before);
      }
    });

    test('reject fails the run with who and why', async () => {
      await waiting('rejected');
      assert.equal(
        (await world.cli(['reject', 'rejected', 'go-live', ...as('bo'), '--comment', 'too old'])).code,
        0,
      );
      const { failure } = await ended('rejected');
      assert.deepEqual(failure, {
        code: 'ApprovalRejected',
        message: 'Approval "go-live" was rejected by bo: too old.',
      });
    });
  });

  describe('schedules', () => {
    const schedule = async (...argv: string[]) => await world.cli(['schedule', ...argv]);
    /** With the build of the compiled package, as workers have it. */
    const apply = async (...argv: string[]) => {
      const program = world.spawn('schedule', 'apply', ...argv);
      assert.equal((await program.exited()).code, 0, program.output());
      return program.document();
    };

    test('are applied from code, said in words, and not again when nothing changed', async () => {
      const dry = await apply('--dry-run');
      assert.match(dry, /^\+ nightly {2}At 02:00, UTC, next [^\n]+\nNothing was changed: --dry-run\.$/m);
      assert.equal(
        (await schedule('list')).out,
        'No schedules on the server. Make those of the code with: anneal schedule apply\n',
      );
      assert.match(
        await apply(),
        /^\+ nightly {2}At 02:00, UTC, next \w{3} [-\d]+ 02:00 UTC \(in .+\)\nSchedules: 1 created\.$/m,
      );
      assert.match(await apply(), /^= nightly/m);
      const { out } = await until('the schedule is listed', async () => {
        const listed = await schedule('list');
        return listed.out.startsWith('nightly') && listed;
      });
      assert.match(
        out,
        /^nightly {2}active {2}At 02:00, UTC\n( {4}\w{3} \d{4}-\d\d-\d\d 02:00 UTC \(in .+\)\n){5}$/,
      );
    });

    test('a change of the code is shown, then made', async () => {
      const file = path.join(world.root, 'pipelines/index.ts');
      const before = await readFile(file, 'utf8');
      await writeFile(file, before.replace('0 2 * * *', '30 6 * * 1-5'));
      assert.match(
        await apply('--dry-run'),
        /^~ nightly {2}At 06:30, Monday through Friday, UTC.*\n {4}cron: "0 2 \* \* \*" → "30 6 \* \* 1-5"\n/m,
      );
      assert.match(await apply(), /^~ nightly.*\n.*\nSchedules: 1 updated\.$/m);
      await writeFile(file, before);
      assert.match(await apply(), /^~ nightly/m);
    });

    test('can be paused, resumed and triggered', async () => {
      assert.equal((await schedule('pause', 'nightly', '--note', 'holidays')).code, 0);
      await until('it is paused', async () =>
        /^nightly {2}paused \(holidays\)/.test((await schedule('list')).out),
      );
      assert.equal((await schedule('resume', 'nightly')).code, 0);
      assert.equal((await schedule('trigger', 'nightly')).code, 0);
      const triggered = await until('the triggered run has ended', async () => {
        const [first] = (await world.cli(['list', '--pipeline', 'nightly', '--json'])).list();
        return first?.['state'] === 'completed' && first;
      });
      const report = (await world.cli(['describe', String(triggered['runId']), '--json'])).document();
      assert.deepEqual(report['parameters'], { n: 2 });
      const { code, err } = await schedule('pause', 'nightli');
      assert.equal(code, 2);
      assert.match(err, /Pipeline "nightli" has no schedule on the server\./);
    });

    test('one that left the code is removed, one that is not ours stays', async () => {
      const own = async (scheduleId: string, memo: Record<string, string>) =>
        await world.temporal.schedule.create({
          scheduleId,
          spec: { cronExpressions: ['0 3 * * *'] },
          action: {
            type: 'startWorkflow',
            workflowType: 'quick',
            taskQueue: pipelinesTaskQueue(DESK.project),
            args: [],
          },
          memo,
        });
      const [foreign] = [
        await own(`${DESK.project}/by-hand`, {}),
        await own(`${DESK.project}/gone`, { 'anneal.project': DESK.project }),
      ];
      await until('it is listed', async () => (await schedule('list')).out.includes('gone'));
      assert.match(await apply('--dry-run'), /^- gone$/m);
      const applied = await apply();
      assert.match(applied, /^- gone\n[^]*Schedules: 1 removed\.$/m);
      assert.doesNotMatch(applied, /by-hand/);
      await foreign.describe();
      await foreign.delete();
      assert.equal((await schedule('delete', 'nightly')).code, 0);
      const { code, err } = await schedule('trigger', 'nightly');
      assert.equal(code, 2);
      assert.match(err, /has no schedule on the server/);
    });
  });

  test('a worker that died is named by run, list and describe; decisions wait for another; orphans end with it', async () => {
    const { kill } = await world.startWorker();
    const orphan = await startTalks('orphan');
    assert.equal((await run('asks', '--id', 'asked-late')).code, 0);
    const digest = await until('it waits', async () => {
      const { approvals } = (await world.cli(['describe', 'asked-late', '--json'])).document();
      return (approvals as { readonly digest: string }[])[0]?.digest;
    });
    await kill();

    const dead =
      /^The worker \(process \d+\) has ended, so open runs wait; .*Start it again with: anneal up$/m;
    for (const argv of [['run', 'quick', '--id', 'later'], ['list'], ['describe', 'asked-late']]) {
      const { code, err } = await world.cli(argv);
      assert.equal(code, 0, err);
      assert.match(err, dead);
    }
    const approve = ['approve', 'asked-late', 'go-live', '--key', path.join(world.root, keyFile('ana'))];
    const unknown = await world.cli(approve);
    assert.equal(unknown.code, 1);
    assert.match(unknown.err, /^WorkerUnavailable: .*so what its gates show is not known\..*"anneal up"/);
    const late = await world.cli([...approve, '--digest', digest]);
    assert.equal(late.code, 1);
    const again =
      /confirmed .*send it again; it counts once: anneal approve asked-late go-live --digest (\w+) --at (\d+)\n$/.exec(
        late.err,
      );
    assert.ok(again, late.err);

    await world.temporal.workflow.getHandle('orphan').terminate('by a plain client');
    assert.ok(await readProcessIdentity(orphan.pid), 'nobody is there to end it');
    await world.startWorker();
    await until(
      'the worker ends the orphan',
      async () => (await readProcessIdentity(orphan.pid)) === undefined,
    );
    const [, sentDigest = '', atMs = ''] = again;
    const decided = await world.cli([...approve, '--digest', sentDigest, '--at', atMs]);
    assert.equal(decided.code, 0, decided.err);
    for (const id of ['later', 'asked-late'])
      await until(`${id} completes`, async () =>
        (await world.cli(['describe', id])).out.includes('completed'),
      );
  });

  test('terminate without a worker ends the attempts of that run, and of no other', async () => {
    const { kill } = await world.startWorker();
    const [kept, ended] = [await startTalks('kept'), await startTalks('ended')];
    await kill();
    const { document } = await world.cli(['terminate', 'ended', '--json']);
    const { attempts } = document() as { attempts: string[] };
    assert.equal(attempts.length, 1);
    assert.match(attempts[0] ?? '', /^talk-[a-z0-9]{16}-a1$/);
    assert.equal(await readProcessIdentity(ended.pid), undefined);
    assert.ok(await readProcessIdentity(kept.pid));
    await world.startWorker();
    assert.equal((await world.cli(['cancel', 'kept'])).code, 0);
    assert.equal(await readProcessIdentity(kept.pid), undefined);
  });

  test('a step whose pool no worker of this machine serves fails at once, with the mend', async () => {
    assert.equal((await run('needs-gpu', '--id', 'unserved')).code, 0);
    await until('it has failed', async () => {
      const { out } = await world.cli(['describe', 'unserved']);
      return /NoPoolFits[^]*no worker of .* serves it[^]*"anneal worker --pools gpu"/.test(out);
    });
  });

  test('a call that waits for a pool whose worker went away is named with the mend', async () => {
    const host = await loadHostName(world.paths.stateDir, testEnvironment());
    await announceServedPools({ stateDir: world.paths.stateDir, host }, ['gpu'], AbortSignal.abort());
    assert.equal((await run('needs-gpu', '--id', 'lonely')).code, 0);
    await until('it is said', async () => {
      const { out } = await world.cli(['describe', 'lonely']);
      return /No worker polls pool "gpu" on .*"anneal worker --pools gpu"/.test(out);
    });
    assert.equal((await world.cli(['cancel', 'lonely'])).code, 0, 'cancelling needs no worker of the pool');
  });

  test('leaves nothing behind in the directory of the attempts', async () => {
    assert.deepEqual(
      existsSync(world.paths.attemptsDir) ? await listAttempts(world.paths.attemptsDir) : [],
      [],
    );
  });
});

/** Bytes of every payload of a history, wherever it is in an event. */
function* payloadSizes(value: unknown): Generator<number> {
  if (typeof value !== 'object' || value === null) return;
  if ('data' in value && value.data instanceof Uint8Array && 'metadata' in value) yield value.data.length;
  else for (const inner of Object.values(value)) yield* payloadSizes(inner);
}
