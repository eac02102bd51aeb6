// Makes a fresh clone runnable with Node alone: the locked packages, then the build. Repeating it when nothing changed is cheap.
import { spawn, spawnSync } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as delay } from 'node:timers/promises';

export const root = fileURLToPath(new URL('..', import.meta.url));

const INSTALL_STAMP = path.join(root, 'node_modules', '.anneal-install');
const BUILD_STAMP = path.join(root, 'dist', '.anneal-build');
const LOCK_TIMEOUT_MS = 10 * 60_000;
const NO_NETWORK =
  /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ENETUNREACH|EHOSTUNREACH|ETIMEDOUT|ERR_SOCKET_TIMEOUT/;

/** A sentence for the user; no stack is shown. */
export class SetupFailure extends Error {
  code = 'SETUP_FAILED';
}

/** Checks Node and Python, installs the locked packages, builds. `build: 'try'` goes on after a failed build. */
export async function bootstrap({ build = 'require' } = {}) {
  checkNode();
  checkPython();
  if (isInstalled() && isBuilt()) return;
  await withLock(async () => {
    if (!isInstalled()) await install();
    if (!isBuilt()) await compile(build);
  });
}

/** Runs `main` and turns a failure that is the user's to mend into one sentence and exit code 1. */
export async function runScript(main) {
  try {
    process.exitCode = await main();
  } catch (error) {
    if (error?.code !== 'SETUP_FAILED') throw error;
    console.error(`\n${error.message}`);
    process.exitCode = 1;
  }
}

/** Runs a program with our terminal; resolves to its exit code (a signal counts as 1). */
export async function runInherited(file, args, env = process.env) {
  const child = spawn(file, args, { cwd: root, env, stdio: 'inherit' });
  return await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code ?? 1));
  });
}

export function say(line) {
  process.stderr.write(`${line}\n`);
}

export function secondsSince(startedAt) {
  return `${((performance.now() - startedAt) / 1000).toFixed(1)} s`;
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  throw new SetupFailure(
    `Node 20.19 or later is needed, found ${process.versions.node}. Install a newer one (https://nodejs.org).`,
  );
}

function checkPython() {
  const set = process.env.ANNEAL_PYTHON;
  const found = [];
  for (const file of set
    ? [set]
    : ['python3', 'python', 'python3.14', 'python3.13', 'python3.12', 'python3.11', 'python3.10']) {
    const probe =
      'import sys, importlib.util as u; print(*sys.version_info[:3], all(u.find_spec(m) for m in ("venv", "ensurepip")))';
    const { status, stdout } = spawnSync(file, ['-I', '-c', probe], { encoding: 'utf8' });
    if (status !== 0) continue;
    const [major, minor, patch, venv] = stdout.trim().split(' ');
    const recent = Number(major) === 3 && Number(minor) >= 10;
    if (recent && (venv === 'True' || hasUv())) return;
    found.push(
      `${major}.${minor}.${patch}${recent ? ' without venv (Debian, Ubuntu: apt install python3-venv)' : ''}`,
    );
  }
  const instead =
    found.length > 0
      ? `found ${[...new Set(found)].join(', ')}`
      : `found none ${set ? `at ${set}` : 'on PATH'}`;
  throw new SetupFailure(
    `Python 3.10 or later with venv is needed, ${instead}. Install it, or set ANNEAL_PYTHON to its path.`,
  );
}

function hasUv() {
  return spawnSync('uv', ['--version']).status === 0;
}

function isInstalled() {
  return readStamp(INSTALL_STAMP) === installStamp();
}

function isBuilt() {
  return existsSync(path.join(root, 'dist', 'cli', 'main.js')) && readStamp(BUILD_STAMP) === buildStamp();
}

function installStamp() {
  return digest(
    [path.join(root, 'package-lock.json')],
    `${process.version} ${process.platform} ${process.arch}`,
  );
}

function buildStamp() {
  const sources = ['src', ...readdirSync(path.join(root, 'packages')).map((name) => `packages/${name}/src`)];
  const files = sources.map((folder) => path.join(root, folder)).flatMap(listFiles);
  const projects = readdirSync(root).filter((name) => /^tsconfig.*\.json$/.test(name));
  return digest([...files, ...projects.map((name) => path.join(root, name))], readStamp(INSTALL_STAMP) ?? '');
}

function listFiles(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

function digest(files, salt) {
  const hash = createHash('sha256').update(salt);
  for (const file of files) hash.update(`\0${path.relative(root, file)}\0`).update(readFileSync(file));
  return hash.digest('hex');
}

function readStamp(file) {
  return existsSync(file) ? readFileSync(file, 'utf8').trim() : undefined;
}

async function install() {
  const startedAt = performance.now();
  say(
    `Packages: ${existsSync(path.join(root, 'node_modules')) ? 'not those of package-lock.json for this Node; ' : ''}installing`,
  );
  const stamp = installStamp();
  // The npm that runs us, if one does: there may be no other on PATH. Install scripts are not needed, so none may run.
  const npm = process.env.npm_execpath?.endsWith('.js')
    ? [process.execPath, process.env.npm_execpath]
    : ['npm'];
  const flags = [
    'ci',
    '--ignore-scripts',
    '--include=dev',
    '--no-audit',
    '--no-fund',
    '--prefer-offline',
    '--loglevel=error',
  ];
  const { code, output } = await capture(npm[0], [...npm.slice(1), ...flags]);
  if (code !== 0) {
    if (NO_NETWORK.test(output)) {
      throw new SetupFailure(
        'Could not fetch the packages of package-lock.json: the npm registry cannot be reached. Connect to the network, or set npm_config_registry to a mirror, then run the same command again.',
      );
    }
    // npm gives the reason first, then the help of its command.
    const reason = output.split(/^.*Clean install a project/m)[0] ?? output;
    throw new SetupFailure(`npm ci failed (exit code ${code}). It said:\n${lastLines(reason, 15)}`);
  }
  writeFileSync(INSTALL_STAMP, `${stamp}\n`);
  say(`Packages: installed (${secondsSince(startedAt)})`);
}

async function compile(build) {
  const startedAt = performance.now();
  say('Build: compiling');
  const stamp = buildStamp();
  const compiled = await capture(process.execPath, [
    'node_modules/typescript/bin/tsc',
    '-b',
    'tsconfig.build.json',
  ]);
  const { code, output } =
    compiled.code === 0 ? await capture(process.execPath, ['scripts/bundle-system.mjs']) : compiled;
  if (code !== 0) {
    const message = `The build failed (exit code ${code}):\n${lastLines(output, 40)}`;
    if (build !== 'try') throw new SetupFailure(message);
    say(message);
    return;
  }
  linkCommand();
  writeFileSync(BUILD_STAMP, `${stamp}\n`);
  say(`Build: done (${secondsSince(startedAt)})`);
}

/** `npx anneal` also below this folder: npm links the commands of dependencies only, not that of the package itself. */
function linkCommand() {
  const link = path.join(root, 'node_modules', '.bin', 'anneal');
  chmodSync(path.join(root, 'dist', 'cli', 'main.js'), 0o755);
  rmSync(link, { force: true });
  symlinkSync(path.join('..', '..', 'dist', 'cli', 'main.js'), link);
}

async function capture(file, args) {
  const chunks = [];
  const child = spawn(file, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  child.stdout.on('data', (chunk) => chunks.push(chunk));
  child.stderr.on('data', (chunk) => chunks.push(chunk));
  return await new Promise((resolve) => {
    child.once('error', (error) => resolve({ code: 1, output: `${file}: ${error.message}` }));
    child.once('close', (code) =>
      resolve({ code: code ?? 1, output: Buffer.concat(chunks).toString('utf8') }),
    );
  });
}

function lastLines(text, count) {
  return text
    .trim()
    .split('\n')
    .slice(-count)
    .map((line) => `    ${line}`)
    .join('\n');
}

/** The same protocol as src/adapters/process-lock.ts, which cannot be imported before the build. */
async function withLock(work) {
  const folder = path.join(root, '.anneal', 'bootstrap');
  const own = `${process.pid}~${startOf(process.pid)}~${randomUUID()}`;
  mkdirSync(folder, { recursive: true });
  const deadline = performance.now() + LOCK_TIMEOUT_MS;
  const release = () => rmSync(path.join(folder, own), { force: true });
  for (let told = false; ; told = true) {
    writeFileSync(path.join(folder, own), '');
    const holder = readdirSync(folder).find((name) => name !== own && isContender(folder, name));
    if (holder === undefined) break;
    release();
    if (!told) say(`Waiting for process ${parseInt(holder, 10)}, which is installing or building`);
    if (performance.now() > deadline) {
      throw new SetupFailure(
        `Process ${parseInt(holder, 10)} has been installing or building for 10 minutes. End it, then run the same command again.`,
      );
    }
    await delay(50 + Math.random() * 200);
  }
  try {
    return await work();
  } finally {
    release();
  }
}

/** A pid alone would take a later process for a dead contender: in a container that is started again, pids repeat. */
function isContender(folder, name) {
  const [pid, startedAt] = name.split('~');
  if (startedAt !== '' && startOf(Number(pid)) === startedAt) return true;
  rmSync(path.join(folder, name), { force: true });
  return false;
}

/** When a live process started, opaque and different after a reboot; empty when there is none. */
function startOf(pid) {
  try {
    if (process.platform !== 'linux') {
      const env = { ...process.env, LC_ALL: 'C', TZ: 'UTC' };
      const { stdout } = spawnSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8', env });
      return stdout.trim().replaceAll(/\s+/g, '-').replaceAll(':', '.');
    }
    // The program's name in parentheses may hold spaces and parentheses itself: count from its end.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8');
    return `${boot.slice(0, 8)}.${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]}`;
  } catch {
    return '';
  }
}
