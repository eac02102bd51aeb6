// The Kubernetes of the tests (test/cluster/README.md): where it can run, how it is built, started and stopped.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { root, say, secondsSince, SetupFailure } from './bootstrap.mjs';

const scripts = path.join(root, 'test', 'cluster');
const IMAGES = ['pause', 'busybox', 'python', 'anneal'];
const PROGRAMS = [
  'go',
  'gcc',
  'pkg-config',
  'python3',
  'openssl',
  'ip',
  'unshare',
  'nsenter',
  'setpriv',
  'apt-get',
  'dpkg-deb',
];
const HOUR_MS = 60 * 60_000;

/** Why there can be no cluster on this machine, in a few words; undefined where there can be one. */
export function findClusterObstacle() {
  if (process.platform !== 'linux') return `they need Linux, this is ${process.platform}`;
  if (process.getuid() !== 0) return 'they need root (for a kubelet and its containers)';
  const found = (program) =>
    (process.env.PATH ?? '').split(path.delimiter).some((folder) => existsSync(path.join(folder, program)));
  const missing = PROGRAMS.filter((program) => !found(program));
  if (missing.length > 0) return `they need ${missing.join(', ')} on PATH`;
  const version = /go(\d+)\.(\d+)/.exec(spawnSync('go', ['version'], { encoding: 'utf8' }).stdout ?? '');
  // From 1.21 on, Go fetches the release that the modules ask for.
  if (version === null || Number(version[2]) < 21) return 'they need Go 1.21 or later';
  const namespaces = ['--mount', '--pid', '--net', '--fork', '--mount-proc', 'true'];
  if (spawnSync('unshare', namespaces).status !== 0)
    return 'this root may not make namespaces (unshare fails)';
  return undefined;
}

/** Where the cluster of this checkout has its binaries, and every cluster of this user its images and its state. */
export async function clusterPlaces() {
  const { userCacheDirectory } = await compiled('adapters/cache-directory.js');
  const home = path.join(userCacheDirectory(process.env), 'cluster');
  return {
    home,
    bin: path.join(home, `bin-${buildDigest()}`),
    state: path.join(home, 'run'),
    ready: path.join(home, 'run', 'ready'),
    log: path.join(home, 'prepare.log'),
  };
}

/** Builds what is missing of binaries and images. @throws SetupFailure when that fails. */
export async function prepareCluster({ images = IMAGES } = {}) {
  const places = await clusterPlaces();
  mkdirSync(places.home, { recursive: true });
  await locked('prepare', async () => {
    if (!isBuilt(places.bin)) {
      say(
        `Test cluster: Kubernetes is built from its sources, once: about 8 minutes on two idle cores, 6 GB of disk with Go's caches (0.6 GB of it kept in ${places.home})`,
      );
      await runPart('build.sh', [], places);
    }
    await runPart('images.sh', images, places);
  });
}

/** Whether a run of `prepareCluster` would take minutes. */
export async function isPrepared() {
  const { home, bin } = await clusterPlaces();
  return isBuilt(bin) && IMAGES.every((name) => existsSync(path.join(home, 'images', `${name}.tar`)));
}

/** Whether a cluster is up, of whoever. */
export async function isClusterUp() {
  const { ready, state } = await clusterPlaces();
  return existsSync(ready) && isRunning(state);
}

/**
 * Starts the cluster and waits until its nodes are ready; resolves to how many seconds that took. `owned`: it ends with this process, however
 * that ends; otherwise it stays until `stopCluster`.
 */
export async function startCluster({ owned }) {
  const places = await clusterPlaces();
  const startedAt = performance.now();
  const child = spawn(path.join(scripts, 'run.sh'), [], {
    env: { ...shellEnvironment(places), CLUSTER_IMAGES: IMAGES.join(' '), CLUSTER_OWNED: owned ? '1' : '' },
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
  });
  const said = [];
  child.stderr.on('data', (chunk) => said.push(chunk));
  let ended = false;
  child.once('close', () => (ended = true));
  child.once('error', (error) => said.push(error.message));
  for (let waitedMs = 0; !existsSync(places.ready) || !isRunning(places.state); waitedMs += 100) {
    if (ended || waitedMs > 4 * 60_000) {
      const log = path.join(places.state, 'log', 'cluster.log');
      const last = existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n').slice(-5) : [];
      throw new SetupFailure(
        `The test cluster did not come up: ${[...said.map(String), ...last].join('\n').trim()}\nIts logs are in ${path.dirname(log)}.`,
      );
    }
    await delay(100);
  }
  child.unref();
  child.stderr.destroy();
  return (performance.now() - startedAt) / 1000;
}

/** Ends the cluster and everything in it; nothing to do when there is none. */
export async function stopCluster() {
  const { state } = await clusterPlaces();
  const pid = runnerOf(state);
  if (pid !== undefined) process.kill(pid, 'SIGKILL');
  // The kernel ends the namespaces' processes and takes the network away in its own time.
  for (let tries = 0; tries < 100 && existsSync('/sys/class/net/anneal0'); tries += 1) await delay(100);
  rmSync(path.join(state, 'ready'), { force: true });
}

/**
 * Runs `work` while a cluster is up that no other test run uses: one that was up stays up, with images of what is compiled now; otherwise one is
 * built where needed, started, and ended after `work`. `work` gets how that went, for people, and the variables that tell tests where it is.
 */
export async function withCluster(work) {
  return await locked('use', async () => {
    const { state } = await clusterPlaces();
    const wasUp = await isClusterUp();
    const preparedAt = performance.now();
    if (wasUp) await loadImages();
    else await prepareCluster();
    const prepared = `binaries and images ${secondsSince(preparedAt)}`;
    const start = wasUp ? 'it was up' : `up after ${(await startCluster({ owned: true })).toFixed(1)} s`;
    try {
      return await work({ how: `${prepared}, ${start}`, env: { ANNEAL_TEST_CLUSTER: state } });
    } finally {
      if (!wasUp) await stopCluster();
    }
  });
}

/** Adds images, made anew where their inputs changed, to the cluster that is up. */
export async function loadImages(names = IMAGES) {
  const places = await clusterPlaces();
  await locked('prepare', async () => await runPart('images.sh', ['--load', ...names], places));
}

/** The preparation as a process of its own, so that it can go on beside tests: `finished` resolves to its exit code. */
export async function prepareInBackground() {
  const { home, log } = await clusterPlaces();
  mkdirSync(home, { recursive: true });
  rmSync(log, { force: true });
  const output = openSync(log, 'a');
  const command = [process.execPath, path.join(root, 'scripts', 'cluster.mjs'), 'prepare', '--in-background'];
  return { log, ...inBackground(command, { stdio: ['ignore', output, output] }) };
}

/**
 * The build of Kueue, for the tests with it, as a process of its own: the cluster is up, and other tests run. Undefined: it is built.
 * @returns ends it.
 */
export async function buildKueueInBackground() {
  if (await isKueueBuilt()) return undefined;
  const options = { stdio: 'ignore', env: shellEnvironment(await clusterPlaces()) };
  return inBackground([path.join(scripts, 'kueue.sh')], options).stop;
}

/** Whether tests with Kueue have to wait for no compiler. */
export async function isKueueBuilt() {
  const { home } = await clusterPlaces();
  const version = /^kueue_version=(.*)$/m.exec(readFileSync(path.join(scripts, 'versions.sh'), 'utf8'))?.[1];
  return existsSync(path.join(home, `kueue-${version}`, 'manager'));
}

/** A test measures nothing while a compiler takes both cores. When this process ends, however that is, so does that one. */
function inBackground(command, options) {
  const child = spawn('setpriv', ['--pdeathsig', 'TERM', 'nice', '-n', '15', ...command], {
    ...options,
    detached: true,
  });
  const stop = () => {
    try {
      process.kill(-child.pid, 'SIGTERM');
    } catch {
      // It has ended.
    }
  };
  process.once('exit', stop);
  const finished = new Promise((resolve) => {
    child.once('error', () => resolve(1));
    child.once('close', (code) => {
      process.off('exit', stop);
      resolve(code ?? 1);
    });
  });
  return { finished, stop };
}

function buildDigest() {
  const hash = createHash('sha256').update(`${process.platform} ${process.arch}`);
  for (const part of ['versions.sh', 'build.sh', 'go', 'kwok']) {
    for (const file of filesUnder(path.join(scripts, part)))
      hash.update(`\0${path.relative(scripts, file)}\0`).update(readFileSync(file));
  }
  return hash.digest('hex').slice(0, 16);
}

function filesUnder(place) {
  if (statSync(place).isFile()) return [place];
  return readdirSync(place, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

/** runc is built last. */
function isBuilt(bin) {
  return existsSync(path.join(bin, 'runc'));
}

function shellEnvironment({ home, bin }) {
  return {
    ...Object.fromEntries(
      Object.entries(process.env).filter(([name]) => !/^(KUBE|GOBIN$|GOOS$|GOARCH$)/.test(name)),
    ),
    CLUSTER_HOME: home,
    CLUSTER_BIN: bin,
    HOME: process.env.HOME || os.homedir(),
  };
}

async function runPart(name, args, places) {
  const child = spawn(path.join(scripts, name), args, {
    env: shellEnvironment(places),
    stdio: ['ignore', 2, 2],
  });
  const code = await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (ended) => resolve(ended ?? 1));
  });
  if (code !== 0)
    throw new SetupFailure(`The test cluster could not be prepared: ${name} ended with code ${code}.`);
}

async function locked(name, work) {
  const { withProcessLock } = await compiled('adapters/process-lock.js');
  const { home } = await clusterPlaces();
  const onWait = (pid) => say(`Test cluster: waiting for process ${pid}, which ${WAITING_FOR[name]}`);
  return await withProcessLock(
    { directory: path.join(home, 'locks', name), onWait, timeoutMs: HOUR_MS },
    work,
  );
}

const WAITING_FOR = { prepare: 'builds it', use: 'tests with it' };

/** The pid of `run.sh`, if it is that still. */
function runnerOf(state) {
  try {
    const pid = Number(readFileSync(path.join(state, 'run.pid'), 'utf8'));
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(path.join('test', 'cluster'))
      ? pid
      : undefined;
  } catch {
    return undefined;
  }
}

function isRunning(state) {
  return runnerOf(state) !== undefined;
}

async function compiled(file) {
  return await import(new URL(`../dist/${file}`, import.meta.url).href);
}
