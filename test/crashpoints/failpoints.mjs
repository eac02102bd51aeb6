// Loaded with --import into a worker and, through it, into the supervisors that it starts: kills the process at one of its own effects on
// files and processes, as `armed.json` in the folder ANNEAL_CRASHPOINTS says. The product itself knows nothing of this.
import child from 'node:child_process';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import path from 'node:path';
import { isMainThread } from 'node:worker_threads';

const control = process.env.ANNEAL_CRASHPOINTS;
const role = process.argv[1]?.endsWith('supervisor.js') ? 'supervisor' : 'worker';
if (control !== undefined && isMainThread) {
  if (process.env.ANNEAL_CRASHPOINTS_READY !== undefined) await standBy();
  install(JSON.parse(fs.readFileSync(path.join(control, 'places.json'), 'utf8')));
}

/** A worker that is to replace one that dies loads what it needs and waits for a word. It has not connected to anything. */
async function standBy() {
  await import(process.env.ANNEAL_CRASHPOINTS_READY);
  const told = await new Promise((resolve) => {
    process.stdin.once('data', () => resolve(true));
    process.stdin.once('end', () => resolve(false));
  });
  if (!told) process.exit(0);
  process.stdin.destroy();
}

function install({ storeDir, attemptsDir }) {
  // The S3 client names this in each request, so that a proxy can tell the processes apart.
  process.env.AWS_SDK_UA_APP_ID = `pid-${process.pid}`;
  wrapFile('rename', (from, to) => describePut(to, from));
  wrapFile('link', (from, to) => describePut(to, from));
  wrapFile('rm', (file) => describeRemoval(file));
  wrapSpawn();
  syncBuiltinESMExports();

  function describePut(to, from) {
    const key = below(storeDir, to);
    // Without its folder nothing will be placed; it is tried again once that is made.
    if (key !== undefined) return fs.existsSync(path.dirname(to)) ? `store put ${nameKey(key)}` : undefined;
    const there = below(attemptsDir, to);
    if (there === undefined) return undefined;
    if (there.endsWith('.removed'))
      return `attempt directory removed ${nameKey(below(attemptsDir, from) ?? '')}`;
    const known = /^[^./][^/]*(\/(supervisor|command|result|stop|memory-group)(\.json)?)?$/.test(there);
    return known ? `attempt file ${nameKey(there)}` : undefined;
  }

  function describeRemoval(file) {
    const key = below(storeDir, file);
    return key === undefined ? undefined : `store remove ${nameKey(key)}`;
  }

  function wrapFile(name, describe) {
    const real = fs.promises[name];
    fs.promises[name] = async (...args) => {
      const label = describe(...args);
      if (label === undefined) return await real(...args);
      const moment = hit(label);
      if (moment === 'before') await die();
      try {
        return await real(...args);
      } finally {
        if (moment === 'unanswered') await die();
        if (moment === 'answered') dieSoon();
      }
    };
  }

  function wrapSpawn() {
    const real = child.spawn;
    child.spawn = (file, args, options) => {
      const label = describeSpawn(args, options);
      if (label === undefined) return real(file, args, options);
      const moment = hit(label);
      if (moment === 'before') kill();
      const isSupervisor = label.startsWith('attempt launch');
      const started = isSupervisor
        ? real(file, ['--import', import.meta.url, ...args], {
            ...options,
            env: { ...options.env, ANNEAL_CRASHPOINTS: control },
          })
        : real(file, args, options);
      if (moment === 'unanswered') kill();
      if (moment === 'answered') dieSoon();
      return started;
    };
  }

  function describeSpawn(args, options) {
    if (role === 'worker' && args?.[0]?.endsWith('supervisor.js'))
      return `attempt launch ${nameKey(below(attemptsDir, args[1]) ?? '')}`;
    const attempt = role === 'supervisor' && options?.detached ? below(attemptsDir, options.cwd) : undefined;
    return attempt === undefined ? undefined : `attempt command ${nameKey(attempt.split('/')[0])}`;
  }
}

/** The path below a folder with `/` between segments; nothing for what is elsewhere or on its way. */
function below(folder, file) {
  if (folder === undefined || file === undefined) return undefined;
  const relative = path.relative(folder, String(file)).split(path.sep).join('/');
  return relative === '' || /^(\.\.|\.incoming)(\/|$)/.test(relative) ? undefined : relative;
}

/** What differs from run to run becomes a star. */
function nameKey(key) {
  return key
    .replace(/[0-9a-f]{8}-[0-9a-f-]{27}/g, '*')
    .replace(/\b[0-9a-f]{64}\b/g, '*')
    .replace(/-[a-z2-7]{16}-a(\d+)/g, '-a$1')
    .replace(/checkpoints\/[^/]+/, 'checkpoints/*')
    .replace(/\b(rec-(first|again)|run-\d{4}-\d)\b/g, '*');
}

/** Notes the effect; the moment to die at, if this is the one. */
function hit(label) {
  const named = `${role} ${label}`;
  fs.appendFileSync(path.join(control, 'effects.log'), `${named}\n`);
  const armed = readArmed();
  if (armed?.effect !== named) return undefined;
  const seen = fs.readFileSync(path.join(control, 'effects.log'), 'utf8').split('\n');
  if (seen.filter((line) => line === named).length !== armed.ordinal) return undefined;
  try {
    fs.writeFileSync(path.join(control, 'fired'), named, { flag: 'wx' });
  } catch {
    return undefined;
  }
  return armed.moment;
}

function readArmed() {
  try {
    return JSON.parse(fs.readFileSync(path.join(control, 'armed.json'), 'utf8'));
  } catch {
    return undefined;
  }
}

function kill() {
  const { alsoPid } = readArmed() ?? {};
  try {
    if (alsoPid !== undefined) process.kill(alsoPid, 'SIGKILL');
  } catch {
    // The worker is gone already.
  }
  process.kill(process.pid, 'SIGKILL');
}

/** As soon as the program has heard of its effect, even if it was the last thing that it did. */
function dieSoon() {
  process.once('exit', kill);
  setImmediate(die);
}

async function die() {
  kill();
  await new Promise(() => undefined);
}
