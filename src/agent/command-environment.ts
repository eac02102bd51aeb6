import { userInfo } from 'node:os';
import path from 'node:path';

import type { AttemptPaths } from '../adapters/process-executor/attempt-directory.js';
import type { AttemptSpec } from '../adapters/process-executor/attempt-spec.js';
import { CHECKPOINT_DIR } from '../adapters/process-executor/attempt-processes.js';
import { hostEnvironment } from '../adapters/process-executor/host-environment.js';
import { AnnealError } from '../core/failures.js';
import { secretVariable } from '../core/secret-variable.js';
import { traceParent } from '../core/trace-context.js';

/** A uid without an entry in the system's list of users, as containers have, is named by its number. */
function systemUser(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.() ?? 'user');
  }
}

/**
 * The whole environment of a step's command. Later wins: the machine's, the run's, the step's own, and last what Anneal promises.
 * @param host the supervisor's own environment, which also holds the secrets that the step names.
 */
export function buildCommandEnvironment(
  { spec, paths }: { readonly spec: AttemptSpec; readonly paths: AttemptPaths },
  host: NodeJS.ProcessEnv,
  gpus: readonly string[],
): Record<string, string> {
  const inherited = hostEnvironment(host);
  const user = systemUser();
  const own = { HOME: paths.home, USER: user, LOGNAME: user, TMPDIR: paths.temporary, PYTHONUNBUFFERED: '1' };
  const stepEnv = Object.entries(spec.request.env).map(
    ([name, value]) => [name, typeof value === 'string' ? value : readSecret(host, value.secret)] as const,
  );
  const environment: Record<string, string> = {
    ...inherited,
    ...own,
    TRACEPARENT: traceParent(spec.request.executionId, spec.name),
    ...spec.environment,
    ...Object.fromEntries(stepEnv),
  };
  return {
    ...environment,
    ...pythonVariables(spec.pythonBin, environment['PATH'] ?? ''),
    CUDA_VISIBLE_DEVICES: gpus.join(','),
    ANNEAL_RUN_ID: spec.runId,
    ANNEAL_STEP: spec.request.step,
    ANNEAL_ATTEMPT: String(spec.request.attempt),
    [CHECKPOINT_DIR]: paths.checkpoints,
    ANNEAL_METRICS_STREAM: paths.metricsStream,
    ANNEAL_PARAMETERS_DIR: paths.parameters,
    ...(spec.request.takesCommands === true ? { ANNEAL_COMMANDS_DIR: paths.commands } : {}),
  };
}

function pythonVariables(bin: string | undefined, searchPath: string): Record<string, string> {
  return bin === undefined
    ? {}
    : { PATH: `${bin}${path.delimiter}${searchPath}`, VIRTUAL_ENV: path.dirname(bin) };
}

function readSecret(
  host: NodeJS.ProcessEnv,
  secret: { readonly name: string; readonly key: string },
): string {
  const value = host[secretVariable(secret)];
  if (value !== undefined) return value;
  throw new AnnealError(
    'SecretMissing',
    `the secret "${secret.name}" has no key "${secret.key}" where the step runs. Set ${secretVariable(secret)} for the worker.`,
  );
}
