import assert from 'node:assert/strict';
import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import { loadConfig } from '../../src/config/load-config.js';
import { projectPaths } from '../../src/config/project-paths.js';
import { poolSlots, poolsForHost } from '../../src/config/host-pools.js';
import { readRetention } from '../../src/core/retention.js';

async function withProject(yaml: string | undefined, use: (root: string) => Promise<void>): Promise<void> {
  const parent = await mkdtemp(path.join(await realpath(tmpdir()), 'anneal-config-'));
  const root = path.join(parent, 'My Churn');
  try {
    await mkdir(root);
    if (yaml !== undefined) await writeFile(path.join(root, 'anneal.yaml'), yaml);
    await use(root);
  } finally {
    await rm(parent, { recursive: true, force: true });
  }
}

const refused = (yaml: string, message: string | RegExp) =>
  withProject(yaml, async (root) => {
    await assert.rejects(loadConfig({ cwd: root, env: {} }), { code: 'InvalidConfig', message });
  });

describe('loadConfig', () => {
  test('fills every default from an empty file', () =>
    withProject('', async (root) => {
      const config = await loadConfig({ cwd: root, env: {} });
      assert.deepEqual(config, {
        root,
        file: path.join(root, 'anneal.yaml'),
        project: 'my-churn',
        pipelines: path.join(root, 'pipelines/index.ts'),
        pools: {
          cpu: { executor: 'process', gpu: 0, gpuOptional: true },
          gpu: { executor: 'process', gpu: 1, gpuOptional: true },
        },
        store: { root: path.join(root, '.anneal/local/store') },
        builds: 'directory',
        data: { allowHosts: [], s3: {} },
        approvers: [],
        groups: {},
        mlflow: {},
        temporal: { namespace: 'default' },
        retention: readRetention(),
        smtp: {},
        notifiers: {},
        notify: {},
      });
      assert.equal(projectPaths(config).attemptsDir, path.join(root, '.anneal/local/attempts'));
    }));

  test('refuses one key under two names, which would make two people of one, and groups of nobody', async () => {
    const key = (last: string) =>
      `ssh-ed25519 ${Buffer.from(`\0\0\0\x0bssh-ed25519\0\0\0 ${'k'.repeat(31)}${last}`).toString('base64')}`;
    await refused(
      `approvers:\n  ana: { key: ${key('1')} }\n  bo: { keys: [${key('2')}, ${key('1')}] }`,
      /^"ana" and "bo" under approvers: in .* have the same key, so one person could decide as both\./,
    );
    await refused(
      `approvers:\n  ana: { key: ${key('1')} }\ngroups: { leads: [anna] }`,
      /Group "leads" .* names "anna", who is not under approvers:.*"ana"/,
    );
    await withProject(
      `approvers:\n  ana: { key: ${key('1')}, keys: [${key('1')}] }\n  bo: { key: ${key('2')} }`,
      async (root) => {
        const { approvers } = await loadConfig({ cwd: root, env: {} });
        assert.equal(approvers.length, 2);
      },
    );
  });

  test('takes builds from the store only where Temporal is not local', () =>
    withProject('project: churn\nbuilds: store', async (root) => {
      const buildsWith = async (env: NodeJS.ProcessEnv) => (await loadConfig({ cwd: root, env })).builds;
      assert.equal(await buildsWith({}), 'directory');
      assert.equal(await buildsWith({ TEMPORAL_ADDRESS: 'host:7233' }), 'store');
      assert.equal(
        await buildsWith({ TEMPORAL_ADDRESS: 'host:7233', ANNEAL_BUILDS: 'directory' }),
        'directory',
      );
      await assert.rejects(buildsWith({ ANNEAL_BUILDS: 's3' }), {
        code: 'InvalidConfig',
        message: /ANNEAL_BUILDS is "s3"; it must be store or directory/,
      });
    }));

  test('finds the file from a directory below the project', () =>
    withProject('project: churn', async (root) => {
      await mkdir(path.join(root, 'a/b'), { recursive: true });
      const config = await loadConfig({ cwd: path.join(root, 'a/b'), env: {} });
      assert.equal(config.root, root);
    }));

  test('takes a file or a directory by path', () =>
    withProject('project: churn', async (root) => {
      for (const given of ['My Churn', 'My Churn/anneal.yaml'])
        assert.equal((await loadConfig({ cwd: path.dirname(root), env: {}, path: given })).project, 'churn');
    }));

  test('knows a project behind a link by its real directory', () =>
    withProject('project: churn', async (root) => {
      const link = path.join(path.dirname(root), 'link');
      await symlink(root, link);
      assert.equal((await loadConfig({ cwd: link, env: {} })).root, root);
    }));

  test('lets the environment beat the file, unless it is empty', () =>
    withProject('mlflow: { uri: http://file:1 }\ntemporal: { address: file:7233 }', async (root) => {
      const env = {
        TEMPORAL_ADDRESS: 'env:7233',
        TEMPORAL_NAMESPACE: 'ml',
        MLFLOW_TRACKING_URI: '',
        ANNEAL_SMTP_URL: 'smtp://u:p@mail:25',
      };
      const config = await loadConfig({ cwd: root, env });
      assert.deepEqual(config.temporal, { address: 'env:7233', namespace: 'ml' });
      assert.deepEqual(config.mlflow, { uri: 'http://file:1' });
      assert.deepEqual(config.smtp, { url: 'smtp://u:p@mail:25' });
    }));

  test('takes a store in S3, with settings of AWS before those of the file, and those of MLflow last', () =>
    withProject('store: s3://bucket/pre/\ns3: { region: eu-central-1 }', async (root) => {
      const load = async (env: { [name: string]: string }) => (await loadConfig({ cwd: root, env })).store;
      const of = (s3: object) => ({ root: 's3://bucket/pre', s3 });
      assert.deepEqual(await load({}), of({ region: 'eu-central-1' }));
      const all = {
        MLFLOW_S3_ENDPOINT_URL: 'http://mlflow:1',
        AWS_ENDPOINT_URL: 'http://all:2',
        AWS_ENDPOINT_URL_S3: 'http://s3:3/',
        AWS_REGION: 'eu-west-1',
      };
      assert.deepEqual(await load(all), of({ endpoint: 'http://s3:3', region: 'eu-west-1' }));
      const { AWS_ENDPOINT_URL_S3: _s3, ...general } = all;
      assert.deepEqual(await load(general), of({ endpoint: 'http://all:2', region: 'eu-west-1' }));
      assert.deepEqual(
        await load({ MLFLOW_S3_ENDPOINT_URL: 'http://mlflow:1' }),
        of({ endpoint: 'http://mlflow:1', region: 'eu-central-1' }),
      );
    }));

  test('takes the store as a file URI', () =>
    withProject('store: file:///data/my%20store', async (root) => {
      assert.deepEqual((await loadConfig({ cwd: root, env: {} })).store, { root: '/data/my store' });
    }));

  test('says how to make a project where there is none', () =>
    withProject(undefined, async (root) => {
      await assert.rejects(loadConfig({ cwd: root, env: {} }), {
        code: 'InvalidConfig',
        message: /^No anneal\.yaml in .*My Churn or a directory above it\. .*anneal init DIR$/,
      });
    }));
});

describe('an anneal.yaml that cannot be used', () => {
  test('names the nearest key for an unknown one', async () => {
    await refused(
      'project: churn\npools:\n  cpu:\n    slot: 2\n',
      'anneal.yaml:4:5: unknown key "pools.cpu.slot". Did you mean "slots"? Known here: executor, slots, cpu, memory, gpu, gpuType, gpuOptional.',
    );
    await refused('pipeline: x.ts', /^anneal\.yaml:1:1: unknown key "pipeline"\. Did you mean "pipelines"\?/);
    await refused('telemetry: 1', /unknown key "telemetry"\. It may be project, pipelines, /);
  });

  test('names position, key, what was found and what is allowed for a wrong value', async () => {
    await refused(
      'pools:\n  cpu: { slots: two }',
      'anneal.yaml:2:17: pools.cpu.slots is "two"; it must be a whole number of at least 1. Change it, or leave it out for the default.',
    );
    await refused(
      'pools:\n  cpu: { memory: 8GB }',
      /pools\.cpu\.memory is "8GB"; it must be an amount of memory/,
    );
    await refused('project: Churn', /:1:10: project is "Churn"; it must be a name of lower-case letters/);
    await refused('pools: {}', /:1:8: pools is an object; it must be at least one pool/);
    await refused('pools:', /pools is null; it must be a map from names/);
    await refused('- a', /:1:1: the file is a list; it must be a map of settings/);
    await refused('temporal: { address: "http://x:1" }', /temporal\.address is "http:.*host:port/);
    await refused(
      'mlflow: { stepCredentials: { username: me } }',
      /mlflow\.stepCredentials is .*; it must be the name of a secret with keys username and password/,
    );
    await refused(
      'mlflow: { uri: sqlite.db }',
      /mlflow\.uri is "sqlite\.db"; it must be a URL that starts with http/,
    );
    await refused(
      'pools: { cpu: { executor: docker } }',
      /executor is "docker"; it must be "process" or "kubernetes"/,
    );
  });

  test('refuses credentials in notifiers, and addresses that lead nowhere', async () => {
    await refused(
      'notifiers:\n  ml: { type: slack, secret: s, url: "https://hooks.slack.com/x" }',
      /^notifiers\.ml\.url .* is a credential; .* key url of the secret "s"\.$/,
    );
    await refused('notifiers:\n  pager: { type: webhook, secret: s }', /^notifiers\.pager .* without url\./);
    await refused(
      'notify: { onFailure: ["slack:m1"] }\nnotifiers:\n  ml: { type: slack, secret: s }',
      /^"slack:m1" in notify\.onFailure .* names nothing under notifiers: .* has slack:ml\./,
    );
    await refused(
      'notifiers:\n  ml: { type: sms, secret: s }',
      /notifiers\.ml\.type is "sms"; it must be "slack" or "webhook"/,
    );
  });

  test('refuses a pool whose name is not a name', () =>
    refused(
      'pools:\n  GPU_1: {}',
      /^anneal\.yaml:2:3: "GPU_1" in pools cannot be used; it must be a name of/,
    ));

  test('names line and column of text that is not YAML', async () => {
    await refused(
      'project: churn\npools: { cpu: [\n',
      /^anneal\.yaml:\d:\d+: not readable as YAML: .*\. Correct this line\.$/,
    );
    await refused(
      'project: a\nproject: b',
      'anneal.yaml:2:1: the key "project" is there twice; keep one of the two.',
    );
    await refused('project: a: b', /^anneal\.yaml:1:\d+: not readable as YAML/);
  });

  for (const pool of ['control', 'pipelines', 'anneal'])
    test(`refuses a pool called ${pool}`, () =>
      refused(
        `pools: { cpu: {}, ${pool}: {} }`,
        new RegExp(`"${pool}" in pools cannot be used; it must be a name other than`),
      ));

  for (const uri of ['https://me:secret@mlflow', 'https://token@mlflow'])
    test(`refuses credentials in mlflow.uri: ${uri}`, () =>
      refused(`mlflow: { uri: "${uri}" }`, /mlflow\.uri holds credentials.*MLFLOW_TRACKING_PASSWORD\.$/));

  test('refuses a password in the file', () =>
    refused('smtp: { url: "smtp://u:secret@mail:25" }', /smtp\.url holds a password.*ANNEAL_SMTP_URL\.$/));

  test('refuses a store that it cannot use', () =>
    refused(
      'store: gs://bucket/x',
      /:1:8: store is "gs:\/\/bucket\/x"; it must be a directory, a file:.* or s3:/,
    ));

  test('refuses an S3 store without a bucket, or with a prefix that leaves it', async () => {
    await refused('store: s3://Bu/x', /:1:8: store is "s3:\/\/Bu\/x"; it must be s3:\/\/BUCKET/);
    await refused('store: s3://bucket/a/../b', /without empty, "." or ".." segments/);
  });

  test('refuses modules outside the project', () =>
    refused(
      'pipelines: ../other/index.ts',
      /pipelines in .* is "\.\.\/other\/index\.ts", which is outside the project/,
    ));

  test('refuses aliases that multiply', () =>
    refused(
      'a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]',
      /aliases/i,
    ));
});

describe('pools of a host', () => {
  test('carry the host in their task queues and default to its cores', () =>
    withProject('project: churn\npools:\n  big: { slots: 2, memory: 8Gi }\n  small: {}', async (root) => {
      const config = await loadConfig({ cwd: root, env: {} });
      assert.deepEqual(poolsForHost(config, { name: 'box' }), [
        {
          name: 'big',
          executor: 'process',
          taskQueue: 'churn/big@box',
          controlQueue: 'churn/control@box',
          memory: '8Gi',
          gpu: 0,
          gpuOptional: true,
        },
        {
          name: 'small',
          executor: 'process',
          taskQueue: 'churn/small@box',
          controlQueue: 'churn/control@box',
          gpu: 0,
          gpuOptional: true,
        },
      ]);
      assert.deepEqual(
        [poolSlots(config, 'big', { cores: 8 }), poolSlots(config, 'small', { cores: 8 })],
        [2, 8],
      );
    }));
});
