import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';

import type {
  AttemptExecutor,
  AttemptLaunch,
  AttemptProgress,
  StreamedMetric,
} from '../../src/activities/ports/executor.js';
import type { ArtifactStore } from '../../src/core/artifact-store.js';
import { storeKeys } from '../../src/core/artifact-store.js';
import type { Manifest } from '../../src/core/artifacts.js';
import type {
  AttemptFailed,
  AttemptOutcome,
  AttemptPhases,
  AttemptRequest,
  AttemptSucceeded,
} from '../../src/core/attempt.js';
import type { CommandToken } from '../../src/core/step.js';

/** An executor under test. */
export interface ExecutorUnderTest {
  readonly executor: AttemptExecutor;
  readonly store: ArtifactStore;
  stop(): Promise<void>;
}

/** A launch of a command, with everything else made up. */
export function buildLaunch(
  request: Partial<AttemptRequest>,
  name = `step-${randomUUID().slice(0, 8)}`,
): AttemptLaunch {
  const whole: AttemptRequest = {
    project: 'test',
    pipeline: 'pipeline',
    executionId: 'execution',
    step: 'step',
    callId: name,
    index: 0,
    attempt: 1,
    build: 'build',
    pool: 'local',
    image: 'kube.local/busybox:1',
    code: [],
    codeDigest: '',
    env: {},
    command: ['true'],
    inputs: {},
    parameters: {},
    outputs: {},
    resources: {},
    stopGraceMs: 2_000,
    ...request,
  };
  return { request: whole, name, runId: 'run/1', environment: {} };
}

/** A shell script as a command; the pieces may be tokens. */
export function sh(...script: (string | CommandToken)[]): AttemptRequest['command'] {
  return ['sh', '-c', script];
}

export const input = (name: string): CommandToken => ({ input: name, as: 'path' });
export const output = (name: string): CommandToken => ({ output: name, as: 'path' });
export const dataset = { type: 'artifact', kind: 'Dataset' } as const;

/** A watch that records what it is told and can be aborted. */
export function recordWatch() {
  const cancel = new AbortController();
  const detach = new AbortController();
  const progress: AttemptProgress[] = [];
  const points: StreamedMetric[] = [];
  const phases: AttemptPhases[] = [];
  const waiters: (() => void)[] = [];
  const check = () => waiters.forEach((waiter) => waiter());
  const watch = {
    cancelled: cancel.signal,
    detached: detach.signal,
    onProgress: (one: AttemptProgress) => void (progress.push(one), check()),
    onPhases: (measured: AttemptPhases) => void phases.push(measured),
    onMetrics: (some: readonly StreamedMetric[]) => void (points.push(...some), check()),
  };
  /** Resolves when the condition holds for what was told. */
  const until = (condition: () => boolean) =>
    new Promise<void>((resolve) => {
      const look = () => condition() && resolve();
      waiters.push(look);
      look();
    });
  const isRunning = () => progress.some(({ phase }) => phase === 'running');
  return { watch, cancel, detach, progress, points, phases, until, isRunning };
}

/** The outcome as a success. */
export function succeeded(outcome: AttemptOutcome): AttemptSucceeded {
  if (outcome.kind === 'failed')
    throw new Error(`${outcome.code}: ${outcome.message}\n${outcome.logTail.join('\n')}`);
  return outcome;
}

/** The outcome as a failure of this code. */
export function failedWith(outcome: AttemptOutcome, code: AttemptFailed['code']): AttemptFailed {
  assert.equal(
    outcome.kind === 'failed' ? `${outcome.code}: ${outcome.message}` : outcome.kind,
    outcome.kind === 'failed' ? `${code}: ${outcome.message}` : code,
  );
  if (outcome.kind !== 'failed') throw new Error('unreachable');
  return outcome;
}

/** The signal that ended a command; a container says it by its exit code alone. */
function signalOf({ signal, exitCode }: AttemptFailed): string | undefined {
  return signal ?? { 137: 'SIGKILL', 143: 'SIGTERM' }[exitCode ?? 0];
}

/** What every executor does. Commands are `sh` alone, so that any small image will do. */
export function describeAttemptExecutor(name: string, create: () => Promise<ExecutorUnderTest>): void {
  describe(`attempt executor: ${name}`, { concurrency: 3 }, () => {
    let under: ExecutorUnderTest;
    before(async () => {
      under = await create();
    });
    after(() => under.stop());
    const run = (launch: AttemptLaunch, watch = recordWatch().watch) => under.executor.run(launch, watch);
    const readText = async (key: string) => Buffer.from((await under.store.readBytes(key)) ?? []).toString();
    const readLog = (launch: AttemptLaunch) =>
      readText(storeKeys.log(launch.request.executionId, launch.name));

    test('stores outputs, log and manifest of a command that succeeds', async () => {
      const recorded = recordWatch();
      const launch = buildLaunch({
        command: sh(
          'echo out; echo err >&2; mkdir -p ',
          output('model'),
          '/deep; echo 1 > ',
          output('model'),
          '/deep/a; echo 22 > ',
          output('model'),
          '/b; printf hello > ',
          output('table'),
        ),
        outputs: { model: { type: 'artifact', kind: 'Model' }, table: dataset },
      });
      const { outputs } = succeeded(await run(launch, recorded.watch));
      assert.equal(outputs['table']?.form, 'file');
      assert.equal(
        outputs['table']?.digest,
        '2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824',
      );
      assert.equal(await readText(under.store.keyOf(outputs['table'].uri)), 'hello');
      assert.deepEqual(
        [outputs['model']?.form, outputs['model']?.kind, outputs['model']?.sizeBytes],
        ['directory', 'Model', 5],
      );
      const manifest = JSON.parse(await readText(storeKeys.manifest('execution', launch.name))) as Manifest;
      assert.deepEqual(
        manifest.outputs['model']?.files.map((file) => file.path),
        ['b', 'deep/a'],
      );
      assert.equal(await readLog(launch), 'out\nerr\n');
      assert.deepEqual(
        // A slow machine sees the preparation twice: before the supervisor's start and in its first status.
        [...new Set(recorded.progress.map(({ phase }) => phase))].filter(
          (phase) => phase !== 'queued' && phase !== 'pulling',
        ),
        ['preparing', 'running', 'uploading'].filter((phase) =>
          recorded.progress.some((one) => one.phase === phase),
        ),
      );
    });

    test('gives a step files, directories and parameters of earlier ones', async () => {
      const first = buildLaunch({
        command: sh(
          'mkdir -p ',
          output('dir'),
          '/x; printf a > ',
          output('dir'),
          '/x/1; printf b > ',
          output('file'),
        ),
        outputs: { dir: dataset, file: dataset },
      });
      const { outputs } = succeeded(await run(first));
      const second = buildLaunch({
        command: sh(
          'cat ',
          input('dir'),
          '/x/1 ',
          input('file'),
          ' "$ANNEAL_PARAMETERS_DIR/rate.json" > ',
          output('all'),
        ),
        inputs: outputs,
        parameters: { rate: 0.5 },
        outputs: { all: dataset },
      });
      const all = succeeded(await run(second)).outputs['all'];
      assert.equal(await readText(under.store.keyOf(all?.uri ?? '')), 'ab0.5');
    });

    test('gives a command that streams an input its URI, and fetches nothing', async () => {
      const made = buildLaunch({
        command: sh('printf ab > ', output('table')),
        outputs: { table: dataset },
      });
      const { outputs: inputs } = succeeded(await run(made));
      const uri = { input: 'table', as: 'uri' } as const;
      const streams = { access: { table: 'stream' }, inputs } as const;
      const launch = buildLaunch({
        ...streams,
        command: sh(
          'printf %s ',
          uri,
          ' > ',
          output('uri'),
          '; ls -A "$ANNEAL_PARAMETERS_DIR/../inputs" > ',
          output('fetched'),
        ),
        outputs: { uri: dataset, fetched: dataset },
      });
      const { outputs } = succeeded(await run(launch));
      const textOf = async (name: string) => await readText(under.store.keyOf(outputs[name]?.uri ?? ''));
      assert.equal(await textOf('uri'), inputs['table']?.uri);
      assert.equal(await textOf('fetched'), '');
      const wrong = buildLaunch({ ...streams, command: sh('cat ', input('table')) });
      const failed = failedWith(await run(wrong), 'InvalidInput');
      assert.match(failed.message, /takes the path of input "table", which is streamed\. Use its uri/);
    });

    test('gives a command its arguments and environment as they are written', async () => {
      const odd = '$(ANNEAL_RUN_ID) $$ $(HOME) ${HOME} `id` \\ "\'\n*';
      const launch = buildLaunch({
        command: [...sh('printf %s "$1$ODD" > ', output('text')), 'sh', odd],
        env: { ODD: odd },
        outputs: { text: dataset },
      });
      const { text } = succeeded(await run(launch)).outputs;
      assert.equal(await readText(under.store.keyOf(text?.uri ?? '')), `${odd}${odd}`);
    });

    test('answers the outcome of a name that has ended, without running it again', async () => {
      const good = buildLaunch({ command: sh('date +%N > ', output('a')), outputs: { a: dataset } });
      assert.deepEqual(await run(good), await run(good));
      const bad = buildLaunch({ command: sh('date +%N; exit 3') });
      assert.deepEqual(await run(bad), await run(bad));
    });

    test('tells exit codes that mean bad input from others', async () => {
      const failed = failedWith(
        await run(
          buildLaunch({ step: 'train', command: sh('echo reading; echo "no such column: age" >&2; exit 3') }),
        ),
        'StepFailed',
      );
      assert.equal(failed.exitCode, 3);
      assert.equal(
        failed.message,
        'Step "train" ended with exit code 3. Its last line was: no such column: age.',
      );
      assert.deepEqual(failed.logTail, ['reading', 'no such column: age']);
      failedWith(await run(buildLaunch({ command: sh('exit 65') })), 'StepRefused');
    });

    test('tells a signal that it did not send', async () => {
      const failed = failedWith(await run(buildLaunch({ command: sh('kill -9 $$') })), 'AttemptKilled');
      assert.equal(signalOf(failed), 'SIGKILL');
      assert.match(failed.message, /killed \(SIGKILL\), perhaps out of memory/);
      for (const [code, said] of [
        [137, /killed \(SIGKILL\), perhaps out of memory/],
        [143, /ended by SIGTERM, which Anneal did not send/],
      ] as const) {
        const outcome = await run(buildLaunch({ command: sh(`exit ${code}`) }));
        const { exitCode, message } = failedWith(outcome, 'AttemptKilled');
        assert.equal(exitCode, code);
        assert.match(message, said);
      }
      failedWith(await run(buildLaunch({ command: sh('exit 139') })), 'StepFailed');
    });

    test('ends a command at its timeout, and one that ignores SIGTERM after its grace', async () => {
      const launch = buildLaunch({
        command: sh('trap "echo asked" TERM; while :; do sleep 0.1; done'),
        timeoutMs: 300,
        stopGraceMs: 400,
      });
      const failed = failedWith(await run(launch), 'StepTimedOut');
      assert.equal(signalOf(failed), 'SIGKILL');
      assert.match(failed.message, /longer than its timeout of 300ms/);
      assert.match(await readLog(launch), /asked/);
    });

    test('lets a command that is told to stop end by itself', async () => {
      const failed = failedWith(
        await run(
          buildLaunch({ command: sh('trap "exit 7" TERM; while :; do sleep 0.1; done'), timeoutMs: 300 }),
        ),
        'StepTimedOut',
      );
      assert.equal(failed.exitCode, 7);
    });

    test('says which output is missing, and where it was expected', async () => {
      const failed = failedWith(
        await run(buildLaunch({ step: 'train', command: ['true'], outputs: { model: dataset } })),
        'OutputMissing',
      );
      assert.match(
        failed.message,
        /^Step "train": the command succeeded, but its output "model" was not written \(\/.*model\)/,
      );
      failedWith(
        await run(buildLaunch({ command: sh('mkdir ', output('d')), outputs: { d: dataset } })),
        'OutputMissing',
      );
    });

    test('refuses symlinks, pipes and names that leave the directory', async () => {
      for (const script of [
        sh('ln -s /etc/passwd ', output('x')),
        sh('mkdir ', output('x'), '; ln -s /etc ', output('x'), '/etc'),
        sh('mkfifo ', output('x')),
      ])
        failedWith(await run(buildLaunch({ command: script, outputs: { x: dataset } })), 'OutputInvalid');
      failedWith(
        await run(buildLaunch({ command: ['true'], outputs: { '../../x': dataset } })),
        'InvalidInput',
      );
    });

    test('reads the declared metrics, and refuses others', async () => {
      const outputs = { m: { type: 'artifact', kind: 'Metrics', metrics: { f1: 'number' } } } as const;
      const metrics = (text: string) =>
        run(buildLaunch({ command: sh(`printf '%s' '${text}' > `, output('m')), outputs }));
      assert.deepEqual(succeeded(await metrics('{"f1": 0.9, "other": 1}')).outputs['m']?.values, { f1: 0.9 });
      for (const [text, said] of [
        ['{"f2": 1}', /has no value "f1".*it has "f2"/],
        ['{"f1": "high"}', /has "high" for "f1"; the step declares a finite number/],
        ['{"f1": NaN}', /holds NaN or Infinity/],
        ['f1=1', /is not JSON/],
      ] as const) {
        const failed = failedWith(await metrics(text), 'OutputInvalid');
        assert.match(failed.message, said);
      }
    });

    test('reads output parameters', async () => {
      const outputs = { n: { type: 'number' }, s: { type: 'string' }, j: { type: 'json' } } as const;
      const launch = buildLaunch({
        command: sh(
          'echo 3 > ',
          output('n'),
          '; echo plain > ',
          output('s'),
          "; echo '[1,{}]' > ",
          output('j'),
        ),
        outputs,
      });
      assert.deepEqual(succeeded(await run(launch)).parameters, { n: 3, s: 'plain', j: [1, {}] });
      const bad = buildLaunch({
        command: sh('echo many > ', output('n')),
        outputs: { n: { type: 'number' } },
      });
      failedWith(await run(bad), 'OutputInvalid');
    });

    test('says which command is not there', async () => {
      const failed = failedWith(
        await run(buildLaunch({ step: 'train', command: ['no-such-program', 'x'] })),
        'CommandNotFound',
      );
      assert.match(failed.message, /Step "train": its command "no-such-program" is not on the PATH/);
      failedWith(await run(buildLaunch({ command: ['./missing.sh'] })), 'CommandNotFound');
    });

    test('keeps a log of 5 MB whole', async () => {
      const launch = buildLaunch({
        command: sh(
          'i=0; while [ $i -lt 5 ]; do head -c 1048576 /dev/zero | tr "\\0" x; i=$((i+1)); done; echo; echo end',
        ),
      });
      succeeded(await run(launch));
      const log = await readLog(launch);
      assert.equal(log.length, 5 * 1_048_576 + 5);
      assert.ok(log.endsWith('x\nend\n'));
    });

    test('gives every point of the metrics stream once, in order', async () => {
      const recorded = recordWatch();
      const line = (step: number) =>
        `echo '{"step":${step},"metrics":{"loss":${1 / step}}}' >> $ANNEAL_METRICS_STREAM; `;
      succeeded(
        await run(
          buildLaunch({
            command: sh(
              line(1),
              'sleep 0.3; ',
              line(2),
              'echo nonsense >> $ANNEAL_METRICS_STREAM; printf \'%s\' \'{"st\' >> $ANNEAL_METRICS_STREAM; sleep 0.2; printf \'%s\\n\' \'ep":4,"metrics":{"loss":0.25},"timestamp":5}\' >> $ANNEAL_METRICS_STREAM',
            ),
          }),
          recorded.watch,
        ),
      );
      assert.deepEqual(
        recorded.points.map(({ step, value }) => [step, value]),
        [
          [1, 1],
          [2, 0.5],
          [4, 0.25],
        ],
      );
      assert.equal(recorded.points[2]?.timestampMs, 5);
      assert.equal((recorded.points[1]?.timestampMs ?? 0) - (recorded.points[0]?.timestampMs ?? 0), 1);
    });

    test('ends what runs when it is cancelled, then throws the reason', async () => {
      const recorded = recordWatch();
      const launch = buildLaunch({ command: sh('echo begun; sleep 60') });
      const running = run(launch, recorded.watch);
      await recorded.until(recorded.isRunning);
      recorded.cancel.abort(new Error('cancelled by test'));
      await assert.rejects(running, /cancelled by test/);
      failedWith(await run(launch), 'AttemptKilled');
    });

    test('leaves what runs when the worker leaves, and adopts it', async () => {
      const first = recordWatch();
      const second = recordWatch();
      const launch = buildLaunch({
        command: sh('until [ -e ', output('go'), ' ]; do sleep 0.05; done; date +%N >> ', output('count')),
        outputs: { count: dataset },
      });
      const left = run(launch, first.watch);
      await first.until(first.isRunning);
      first.detach.abort(new Error('worker stops'));
      await assert.rejects(left, /worker stops/);
      const adopted = run({ ...launch, request: { ...launch.request } }, second.watch);
      await second.until(second.isRunning);
      assert.equal(second.progress.at(-1)?.adopted, true);
      await under.executor.end(launch.name, { graceMs: 1_000, executionId: 'execution' });
      failedWith(await adopted, 'AttemptKilled');
      await under.executor.end(launch.name, { graceMs: 1_000, executionId: 'execution' });
    });

    test('hands commands of people to what runs, with a signal where asked, and nothing to what has ended', async () => {
      const launch = buildLaunch({
        command: sh(
          'trap "handled=1" USR1; until [ "$handled" ]; do sleep 0.05; done; cd "$ANNEAL_COMMANDS_DIR"; ',
          'ls > ',
          output('names'),
          '; echo \'"bye"\' > a.tmp; mv a.tmp 000001.answer.json',
        ),
        takesCommands: true,
        outputs: { names: dataset },
      });
      const recorded = recordWatch();
      const running = run(launch, recorded.watch);
      await recorded.until(recorded.isRunning);
      const send = async (id: string) =>
        await under.executor.command?.(
          launch.name,
          { id, command: 'stop', parameters: {}, by: 'ana', atMs: Date.now(), signal: 'SIGUSR1' },
          { executionId: 'execution', withinMs: 30_000, signal: recorded.cancel.signal },
        );
      assert.deepEqual(await send('one'), { state: 'answered', number: 1, answer: 'bye' });
      const uri = succeeded(await running).outputs['names']?.uri ?? '';
      assert.equal(await readText(under.store.keyOf(uri)), '000001-stop.json\n');
      assert.deepEqual(await send('two'), { state: 'ended' });
    });

    test('restores the newest whole checkpoint in the next attempt, and not when a fresh start is asked', async () => {
      const script = sh(
        'cd "$ANNEAL_CHECKPOINT_DIR"; for i in 1 2 3; do echo $i > c.tmp; mv c.tmp c$i; done; echo half > d.tmp; exit 1',
      );
      const launch = buildLaunch({ command: script });
      failedWith(await run(launch), 'StepFailed');
      const next = (more: Partial<AttemptRequest>) =>
        buildLaunch({
          callId: launch.request.callId,
          attempt: 2,
          command: sh('cd "$ANNEAL_CHECKPOINT_DIR"; ls > ', output('found')),
          outputs: { found: dataset },
          ...more,
        });
      const found = async (outcome: AttemptOutcome) =>
        await readText(under.store.keyOf(succeeded(outcome).outputs['found']?.uri ?? ''));
      assert.equal(await found(await run(next({}))), 'c3\n');
      assert.equal(
        await found(
          await run(next({ fresh: true, command: sh('ls "$ANNEAL_CHECKPOINT_DIR" > ', output('found')) })),
        ),
        '',
      );
    });
  });
}
