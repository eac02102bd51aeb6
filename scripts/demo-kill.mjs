// `npm run demo:kill`: trains the churn model, kills the worker in the middle, then worker and training, and shows that nothing is lost.
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';

import { bootstrap, root, runScript, SetupFailure } from './bootstrap.mjs';

const PIPELINE = 'churn-training';
const MODEL = 'churn-predictor';
const STEP = 'train-model';
/** 200 trees take 20 s: long enough to be killed twice, short enough to watch. */
const SECONDS_PER_TREE = 0.1;
const TREES = 200;
/** Trees between two checkpoints. */
const BLOCK = 20;
const PATIENCE_MS = 120_000;
const POLL_MS = 100;

await runScript(async () => {
  await bootstrap();
  const main = path.join(root, 'dist', 'cli', 'main.js');
  // The worker is this program again, as its first argument says: it must be the CLI.
  process.argv.splice(1, 1, main);
  const load = async (file) => await import(pathToFileURL(path.join(root, 'dist', file)).href);
  const modules = {
    ...(await load('cli/open-project.js')),
    ...(await load('core/attempt.js')),
    ...(await load('core/registry.js')),
    ...(await load('adapters/process-executor/attempt-directory.js')),
    ...(await load('adapters/process-identity.js')),
    ...(await load('cli/interruptible.js')),
  };
  return await modules
    .createInterrupts()
    .interruptible(async (signal) => await demonstrate({ ...modules, signal }));
});

async function demonstrate(modules) {
  const { signal } = modules;
  const project = await modules.openProject({ cwd: root, env: process.env });
  const { stack } = project;
  const before = await stack.running();
  const startedAt = performance.now();
  const tell = (text) =>
    console.log(`${((performance.now() - startedAt) / 1000).toFixed(1).padStart(6)} s  ${text}`);
  console.log('A training is killed twice: first its worker, then its worker and the training itself.\n');
  try {
    return await tellStory({ ...modules, project, stack, tell });
  } catch (error) {
    if (signal.aborted) return 130;
    // What the package says for its user is a sentence; anything else is a defect.
    if (error?.name === 'AnnealError' || error?.name === 'SetupError') throw new SetupFailure(error.message);
    throw error;
  } finally {
    await project.close();
    if (!before.worker) {
      await stack.stopWorker();
      await stack.endAttempts();
      if (!before.servers) await stack.stopServers();
    }
  }
}

async function tellStory(demo) {
  const { project, stack, tell, signal } = demo;
  const [services, build] = await Promise.all([
    stack.startServers({ onProgress: tell, signal }),
    project.build(() => undefined),
  ]);
  await stack.makeCurrent(build.digest);
  const startWorker = async () => {
    const worker = await stack.ensureWorker();
    await stack.workerReady({ worker, build: build.digest, signal });
    return worker.process;
  };
  const first = await startWorker();
  const client = await project.client();
  const started = await client.startRun(PIPELINE, { parameters: { secondsPerTree: SECONDS_PER_TREE } });
  try {
    return await killTwice({ ...demo, client, services, startWorker, ...started }, first);
  } catch (error) {
    // Nobody waits for it any more, and the next demonstration needs its slot.
    const { state } = await client.status(started.runId);
    if (state === 'running') await client.terminate(started.runId, 'the demonstration was stopped');
    throw error;
  }
}

async function killTwice(demo, first) {
  const { project, tell, signal, client, services, startWorker, runId } = demo;
  const run = openRun(demo);
  tell(`Temporal, MLflow and worker ${first.pid} are up; run ${runId}`);
  const links = await project.links();
  if (links.temporalUiUrl !== undefined)
    tell(`  ${links.temporalUiUrl}/namespaces/${links.namespace}/workflows/${runId}`);
  tell('Steps before the training: ingest, validate-data, compute-features');

  const trainer = await run.waitFor('the training starts', () => run.command(1));
  tell(`${STEP} runs as process ${trainer.pid}: ${TREES} trees, slowed down to ${SECONDS_PER_TREE} s each`);
  await run.waitFor('the training has a checkpoint', () => run.trees(1) >= BLOCK);
  tell(`${run.trees(1)} of ${TREES} trees`);

  await run.kill([first]);
  tell(
    `SIGKILL for worker ${first.pid}. The training ${(await run.isAlive(trainer)) ? 'lives' : 'is dead, too'}`,
  );
  const second = await startWorker();
  tell(`Worker ${second.pid} is up; Temporal waits for a sign of life of the first one, then lets it go`);
  await run.waitFor('the training is adopted', async () => await run.isAdopted());
  tell(`Adopted: the same process ${trainer.pid}, ${run.trees(1)} trees, nothing was started again`);

  const supervisor = run.supervisor(1);
  const grown = run.trees(1);
  await run.kill([second, supervisor, trainer]);
  tell(
    `SIGKILL for worker ${second.pid}, supervisor ${supervisor.pid} and training ${trainer.pid}, after ${grown} trees or a few more`,
  );
  const third = await startWorker();
  tell(`Worker ${third.pid} is up`);
  const resumedAt = await run.waitFor('the training resumes', () => run.resumedAt(2));
  const again = run.command(2);
  tell(`Attempt 2 is process ${again?.pid}: resumed from the checkpoint at ${resumedAt} trees`);

  const report = await client.wait(runId, { signal });
  const versions = await countVersions(services.mlflow.trackingUri, demo);
  return conclude({ ...demo, report, versions, resumedAt });
}

/** What the files of the attempts and Temporal say of the run. */
function openRun(demo) {
  const { project, client, runId, executionId, signal } = demo;
  const { paths } = project;
  const at = (attempt) => {
    const namespace = 'default';
    const name = demo.attemptName({
      namespace,
      workflowId: runId,
      epoch: executionId,
      step: STEP,
      index: 0,
      attempt,
    });
    return demo.attemptPaths(paths.attemptsDir, name);
  };
  const log = (attempt) => (existsSync(at(attempt).log) ? readFileSync(at(attempt).log, 'utf8') : '');
  const readIfThere = (file) => (existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined);
  return {
    command: (attempt) => readIfThere(at(attempt).command)?.identity,
    supervisor: (attempt) => readIfThere(at(attempt).supervisor),
    trees: (attempt) => Number([...log(attempt).matchAll(/^trees (\d+)\//gm)].at(-1)?.[1] ?? 0),
    resumedAt: (attempt) =>
      Number(/^resumed from checkpoint at (\d+) trees/m.exec(log(attempt))?.[1]) || undefined,
    isAlive: demo.isSameProcess,
    isAdopted: async () => await isAdopted(await project.temporal(), runId),
    kill: async (processes) => {
      for (const { pid } of processes) process.kill(pid, 'SIGKILL');
      for (const one of processes)
        while (await demo.isSameProcess(one)) await delay(POLL_MS, undefined, { signal });
    },
    waitFor: async (what, check) => {
      for (const deadline = performance.now() + PATIENCE_MS; ; await delay(POLL_MS, undefined, { signal })) {
        const found = await check();
        if (found) return found;
        const { state, failure } = await client.status(runId);
        if (state !== 'running' && state !== 'queued')
          throw new SetupFailure(`The run ended before ${what}: ${state}. ${failure?.message ?? ''}`);
        if (performance.now() > deadline) throw new SetupFailure(`Waited 2 minutes in vain until ${what}.`);
      }
    },
  };
}

/** Whether an attempt of the run is watched by a worker that did not start it. */
async function isAdopted({ client }, runId) {
  const { raw } = await client.workflow.getHandle(runId).describe();
  return (raw.pendingActivities ?? []).some(({ attempt, heartbeatDetails }) => {
    const data = heartbeatDetails?.payloads?.[0]?.data;
    return attempt > 1 && data && JSON.parse(Buffer.from(data).toString('utf8')).adopted === true;
  });
}

/** Versions of the model that this run made. */
async function countVersions(trackingUri, { executionId, TAGS }) {
  const filter = encodeURIComponent(`name='${MODEL}' AND tags.\`${TAGS.executionId}\`='${executionId}'`);
  const response = await fetch(`${trackingUri}/api/2.0/mlflow/model-versions/search?filter=${filter}`);
  const { model_versions: versions = [] } = await response.json();
  return versions.map(({ version }) => version);
}

function conclude({ tell, report, versions, resumedAt }) {
  const training = report.calls.find(({ name }) => name === STEP);
  tell(
    `The run is ${report.state}: F1 ${Number(report.result?.f1).toFixed(3)}, ${MODEL} version ${versions.join(', ')}`,
  );
  console.log(
    [
      '',
      `  attempts of ${STEP}    ${training?.attempt}; its own retries are untouched, Anneal pays for lost machines`,
      `  trees grown twice       none of the first ${resumedAt}, at most ${BLOCK - 1} after them`,
      `  other steps             once each`,
      `  model versions          ${versions.length}`,
    ].join('\n'),
  );
  return report.state === 'completed' && versions.length === 1 ? 0 : 1;
}
