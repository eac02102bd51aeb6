import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, test } from 'node:test';
import { parse } from 'yaml';

import { IMAGE_PROGRAMS } from '../../src/adapters/kubernetes/labels.js';
import { parseConfig } from '../../src/config/parse-config.js';
import { POD_PROGRAMS } from '../../src/core/pod-layout.js';

interface Service {
  readonly image?: string;
  readonly build?: {
    readonly context: string;
    readonly target?: string;
    readonly dockerfile_inline?: string;
  };
  readonly environment?: Readonly<Record<string, string | number>>;
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly configs?: readonly { readonly source: string; readonly target: string }[];
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly command?: readonly string[];
  readonly healthcheck?: object;
}

interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly configs: Readonly<Record<string, { readonly content: string }>>;
  readonly volumes: Readonly<Record<string, object>>;
}

const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (file: string) => readFileSync(path.join(root, file), 'utf8');
const compose = parse(read('docker-compose.yml'), { merge: true }) as Compose;
const services = Object.entries(compose.services);
const service = (name: string): Service => compose.services[name] ?? assert.fail(`no service ${name}`);

/** Instructions of the Dockerfile with their continuation lines, by stage. */
const stages = read('Dockerfile')
  .replaceAll(/^#.*\n/gm, '')
  .replaceAll(/\\\n\s*(#.*\n\s*)?/g, ' ')
  .split(/^(?=FROM )/m)
  .slice(1)
  .map((text) => text.trim().split('\n'));
const stageNames = stages.map(([from = '']) => / AS (\S+)$/.exec(from)?.[1]);

describe('the Dockerfile', () => {
  test('copies only what is there, and what .dockerignore lets through', () => {
    const ignored = read('.dockerignore').split('\n');
    const copied = stages
      .flat()
      .filter((line) => line.startsWith('COPY ') && !line.includes('--from='))
      .flatMap((line) =>
        line
          .split(/\s+/)
          .slice(1, -1)
          .filter((word) => !word.startsWith('--')),
      );
    assert.ok(copied.length > 5);
    for (const source of copied) {
      assert.ok(existsSync(path.join(root, source.replace('tsconfig*.json', 'tsconfig.json'))), source);
      assert.ok(ignored.includes(`!${source}`), `.dockerignore hides ${source}`);
    }
  });

  test('copies from stages that come before', () => {
    for (const [index, lines] of stages.entries())
      for (const line of lines) {
        const from = /^COPY --from=(\S+)/.exec(line)?.[1];
        assert.ok(from === undefined || stageNames.slice(0, index).includes(from), line);
      }
  });

  test('ends with the image of ours, which runs as the user that pods run as', () => {
    assert.deepEqual(stageNames.slice(-3), ['runtime', 'example', 'anneal']);
    const runtime = stages.at(-3) ?? [];
    assert.deepEqual(
      runtime.filter((line) => line.startsWith('USER')),
      ['USER 65532:65532'],
    );
    assert.deepEqual(stages.at(-1), ['FROM runtime AS anneal']);
  });

  test('puts the programs of a pod where Jobs call them', () => {
    const runtime = (stages.at(-3) ?? []).join('\n');
    assert.match(runtime, new RegExp(`COPY --from=build /src/dist/pod ${POD_PROGRAMS}\n`));
    assert.match(runtime, new RegExp(`/bin/busybox ${POD_PROGRAMS}/busybox`));
    for (const [program, ...words] of Object.values(IMAGE_PROGRAMS)) {
      assert.equal(program, 'node');
      assert.equal(path.posix.dirname(words.at(-1) ?? ''), POD_PROGRAMS);
    }
  });

  test('has a Node that the package supports', () => {
    const { engines } = JSON.parse(read('package.json')) as { engines: { node: string } };
    const major = /^ARG NODE_IMAGE=node:(\d+)-/m.exec(read('Dockerfile'))?.[1];
    const least = /^>=(\d+)\./.exec(engines.node)?.[1];
    assert.ok(Number(major) >= Number(least));
  });
});

describe('docker-compose.yml', () => {
  test('has a project whose settings are valid', () => {
    const config = parseConfig(compose.configs['project']?.content ?? '', 'anneal.yaml');
    assert.equal(config.store, 's3://anneal/churn');
    const repository = parseConfig(read('anneal.yaml'), 'anneal.yaml');
    assert.equal(config.pipelines, repository.pipelines);
    assert.deepEqual(Object.keys(config.pools ?? {}), Object.keys(repository.pools ?? {}));
  });

  test('gives the worker only variables that the documentation knows', () => {
    const known = read('docs/configuration.md');
    for (const name of Object.keys(service('worker').environment ?? {}))
      assert.ok(
        name === 'AWS_ACCESS_KEY_ID' || name === 'AWS_SECRET_ACCESS_KEY' || known.includes(`\`${name}\``),
        name,
      );
  });

  test('sends the worker to the ports that the servers listen at', () => {
    const { environment = {} } = service('worker');
    assert.equal(environment['TEMPORAL_ADDRESS'], 'temporal:7233');
    assert.ok(service('temporal').ports?.includes('127.0.0.1:7233:7233'));
    assert.equal(environment['MLFLOW_TRACKING_URI'], 'http://mlflow:5000');
    assert.ok(service('mlflow').command?.includes('--port=5000'));
    const { s3 } = parseConfig(compose.configs['project']?.content ?? '', 'anneal.yaml');
    assert.equal(s3?.endpoint, 'http://s3:7070');
    assert.match(service('s3').command?.join('\n') ?? '', /versitygw --port :7070 posix \/data/);
    assert.match(service('s3').command?.join('\n') ?? '', /mkdir -p \/data\/anneal\n/);
  });

  test('lets nothing but this machine in', () => {
    for (const [name, { ports = [] }] of services)
      for (const port of ports) assert.match(port, /^127\.0\.0\.1:/, name);
  });

  test('pins every image, in the versions that the tests run', () => {
    for (const [name, { image }] of services)
      assert.ok(image === undefined || /:v?\d[\w.-]*$/.test(image), `${name}: ${image}`);
    const s3 = /^const VERSION = '(.+)';$/m.exec(read('scripts/s3-server.mjs'))?.[1];
    assert.equal(service('s3').image, `versity/versitygw:v${s3}`);
    const mlflow = service('mlflow').build;
    assert.equal(mlflow?.context, 'python');
    assert.match(mlflow?.dockerfile_inline ?? '', /--require-hashes -r \/mlflow-server\.txt/);
    assert.ok(existsSync(path.join(root, 'python', 'mlflow-server.txt')));
    const temporal = (name: string) => service(name).image?.split(':')[1];
    assert.equal(temporal('temporal'), temporal('temporal-schema'));
    assert.equal(temporal('temporal'), temporal('temporal-namespace'));
  });

  test('has its worker take builds from the store, where the code that it sees is deployed to', () => {
    const { builds, pipelines = '' } = parseConfig(compose.configs['project']?.content ?? '', 'anneal.yaml');
    assert.equal(builds, 'store');
    const [, from = '', to] =
      service('worker')
        .volumes?.map((it) => /^\.\/(.*):\/project\/(.*):ro$/.exec(it))
        .find(Boolean) ?? [];
    assert.equal(from, to);
    assert.ok(pipelines.startsWith(`${from}/`));
  });

  test('refers only to what it defines', () => {
    const isThere = (source: string) =>
      source.startsWith('./') ? existsSync(path.join(root, source)) : source in compose.volumes;
    for (const [name, { configs = [], volumes = [], depends_on = {}, build }] of services) {
      for (const { source } of configs) assert.ok(source in compose.configs, `${name}: config ${source}`);
      for (const volume of volumes) assert.ok(isThere(volume.split(':')[0] ?? ''), `${name}: ${volume}`);
      for (const [other, { condition }] of Object.entries(depends_on))
        assert.ok(
          condition !== 'service_healthy' || service(other).healthcheck,
          `${name} waits for ${other}`,
        );
      assert.ok(build?.target === undefined || stageNames.includes(build.target), name);
    }
  });

  test('makes the databases that its servers use', () => {
    const made = [
      ...(compose.configs['postgres-databases']?.content.matchAll(/CREATE DATABASE (\w+);/g) ?? []),
    ];
    const { environment = {} } = service('temporal');
    assert.deepEqual(
      made.map(([, name]) => name).sort(),
      ['mlflow', environment['DBNAME'], environment['VISIBILITY_DBNAME']].sort(),
    );
    assert.ok(
      service('mlflow').command?.includes('--backend-store-uri=postgresql://anneal:anneal@postgres/mlflow'),
    );
  });
});
