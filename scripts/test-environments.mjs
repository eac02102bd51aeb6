// What suites against real servers need: Python environments, the Temporal CLI and an S3 server. Nothing is started here.
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';

import { root, say } from './bootstrap.mjs';
import { ensureS3Server } from './s3-server.mjs';

/** Makes the environments, both at once, and returns the variables that tell the suites where they are. */
export async function ensureTestEnvironments() {
  const load = async (file) => await import(new URL(`../dist/${file}`, import.meta.url).href);
  const { userCacheDirectory } = await load('adapters/cache-directory.js');
  const { findPython } = await load('adapters/find-python.js');
  const { ensurePythonEnvironment } = await load('adapters/python-environment.js');
  const { installPinnedTool } = await load('adapters/pinned-tool.js');
  const { withProcessLock } = await load('adapters/process-lock.js');
  const { runProgram } = await load('adapters/run-program.js');
  const { findTemporalCli } = await load('local/temporal-cli.js');

  // Tests never use the user's own servers, whatever the shell is set up for.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(TEMPORAL_|MLFLOW_|AWS_)/.test(name)),
  );
  const cacheDirectory = userCacheDirectory(env);
  await mkdir(cacheDirectory, { recursive: true });
  const deps = { cacheDirectory, env, run: runProgram, onProgress: say };
  const python = await findPython(deps);
  const environment = async (requirements, label) =>
    existsSync(path.join(root, requirements))
      ? await ensurePythonEnvironment({ requirements: path.join(root, requirements), python, label }, deps)
      : undefined;
  const motoEnvironment = async (requirements) =>
    await ensurePythonEnvironment({ requirements, python, label: 'moto, S3 server of the tests' }, deps);
  const [churn, mlflow, mlflowAuth, temporal, timeSkipping, s3] = await Promise.all([
    environment('examples/churn/requirements.txt', 'churn example'),
    environment('python/mlflow-server.txt', 'MLflow server'),
    environment('test/system/mlflow-auth.txt', "logins of MLflow's server"),
    findTemporalCli(deps),
    installPinnedTool(
      {
        name: 'temporal-test-server',
        requirements: path.join(root, 'test/workflows/temporal-test-server.txt'),
        python,
      },
      deps,
    ),
    ensureS3Server({ ...deps, withLock: withProcessLock, motoEnvironment }),
  ]);
  return {
    ...env,
    ...(churn === undefined ? {} : { ANNEAL_TEST_PYTHON: churn.python }),
    ...(mlflow === undefined ? {} : { ANNEAL_TEST_MLFLOW: path.join(mlflow.bin, 'mlflow') }),
    ...(mlflowAuth === undefined ? {} : { ANNEAL_TEST_MLFLOW_AUTH: mlflowAuth.python }),
    ANNEAL_TEST_TEMPORAL: temporal.path,
    ANNEAL_TEST_TIME_SKIPPING: timeSkipping,
    ANNEAL_TEST_S3: s3,
  };
}
