import { after, test } from 'node:test';
import { startRealMlflow } from './mlflow-server.js';

const executable = process.env['ANNEAL_TEST_MLFLOW'];

// The client's own suite, on a server that is started for it.
if (executable === undefined)
  test('mlflow-ts-client on a real server', { skip: 'ANNEAL_TEST_MLFLOW is not set' }, () => undefined);
else {
  const server = await startRealMlflow(executable);
  after(async () => await server.stop());
  process.env['ANNEAL_TEST_MLFLOW_URI'] = server.url;
  await import('../../packages/mlflow-ts-client/test/real-server.suite.js');
}
