import assert from 'node:assert/strict';
import { createPrivateKey } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { storeKeys } from '../../src/core/artifact-store.js';
import type { RecordedDecision } from '../../src/core/approval.js';
import type { RunStatus } from '../../src/core/run.js';
import { keyFile } from '../cli/desk-project.js';
import { startDeskWorld, type DeskWorld } from '../cli/desk-world.js';
import { startMailServer, type MailServer } from './support/mail-server.js';
import { until } from './support/until.js';

/** What must never leave the machine, beside the private keys. */
const SECRETS = {
  smtp: 'smtp-password-5d1c',
  ANNEAL_SECRET_STORE_TOKEN: 'step-token-90ab',
  MLFLOW_TRACKING_TOKEN: 'mlflow-token-77fe',
};

describe('approvals of a real project', () => {
  let mail: MailServer;
  let world: DeskWorld;
  before(async () => {
    mail = await startMailServer({ user: 'ml', password: SECRETS.smtp });
    const { smtp, ...variables } = SECRETS;
    world = await startDeskWorld({
      ...variables,
      ANNEAL_SMTP_URL: `smtp://ml:${smtp}@127.0.0.1:${mail.port}?tls.rejectUnauthorized=false`,
    });
    const yaml = path.join(world.root, 'anneal.yaml');
    const written = await readFile(yaml, 'utf8');
    await writeFile(yaml, written.replace('bo: {', 'bo: { email: bo@company.com,'));
    await world.startWorker();
  });
  after(async () => {
    await world.close();
    await mail.close();
  });

  const keyOf = (name: string) => path.join(world.root, keyFile(name));
  const describeRun = async (id: string) =>
    JSON.parse((await world.cli(['describe', id, '--json'])).out) as RunStatus;
  const waiting = async (id: string, ...argv: string[]) => {
    const started = await world.cli(['run', 'asks', '--id', id, ...argv]);
    assert.equal(started.code, 0, started.err);
    await until(`${id} asks`, async () => (await describeRun(id)).approvals.length > 0);
  };
  const ended = async (id: string) =>
    await until(`${id} has its record`, async () => {
      const { state, executionId } = await describeRun(id);
      if (state !== 'completed') return false;
      const file = path.join(world.paths.stateDir, 'store', storeKeys.run(executionId));
      return { file, record: JSON.parse(await readFile(file, 'utf8')) as RunStatus };
    });

  test('the message that a person gets has the command that decides, ready to be run', async () => {
    await waiting('told one');
    const [message] = await until('a message came', () => mail.messages.length > 0 && mail.messages);
    assert.deepEqual(
      [message?.to, message?.subject],
      ['bo@company.com', 'asks waits for approval "go-live"'],
    );
    const [, line = ''] = /^ {2}npx anneal (approve .*)$/m.exec(message?.text ?? '') ?? [];
    const argv = [...line.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '');
    const decided = await world.cli([...argv, '--key', keyOf('bo'), '--comment', 'good']);
    assert.equal(decided.code, 0, decided.err);
    assert.match(decided.out, /^Approved "go-live" of told one as bo, signed/);
    await ended('told one');
    const { out, code } = await world.cli(['audit', 'told one', '--verify']);
    assert.equal(code, 0);
    assert.match(
      out,
      /opened {2}"go-live"[^]*approve {2}"go-live" {2}by bo \(valid\)[^]*approved {2}"go-live" {2}by bo\n[^]*The record is what the run handed over/,
    );
  });

  test('an audit finds what was changed in the record, and says which decision it is', async () => {
    const approve = async (id: string) => {
      await waiting(id);
      const argv = ['approve', id, 'go-live', '--comment', 'good', '--key', keyOf('ana')];
      assert.equal((await world.cli(argv)).code, 0);
      return await ended(id);
    };
    const other = (await approve('borrowed')).record.decisions?.[0];
    const { file, record } = await approve('audited');
    const [made, ...more] = record.decisions ?? [];
    assert.ok(made?.signature && other?.signature);
    assert.deepEqual(more, []);
    const cases: readonly [string, readonly RecordedDecision[], RegExp, string | undefined][] = [
      [
        'a comment',
        [{ ...made, comment: 'perfect' }],
        /was changed \(comment\).*approve of .* by ana/,
        'invalid',
      ],
      [
        'a decision',
        [{ ...made, decision: 'reject' }],
        /changed \(decision\).*approve of .* by ana/,
        'invalid',
      ],
      ['a digest', [{ ...made, digest: 'f'.repeat(64) }], /changed \(digest\).* by ana/, 'invalid'],
      [
        'the signature of another run',
        [{ ...made, signature: other.signature }],
        /changed \(signature\).* by ana/,
        'invalid',
      ],
      ['the name', [{ ...made, by: 'bo' }], /changed \(by\).* by ana/, 'invalid'],
      ['a removed decision', [], /lacks what the run took: approve of "go-live" by ana at /, undefined],
      [
        'a decision of another run put in',
        [made, other],
        /has what the run never took: approve of "go-live" by ana/,
        'valid',
      ],
    ];
    for (const [what, decisions, expected, check] of cases) {
      await writeFile(file, JSON.stringify({ ...record, decisions }));
      const { code, document } = await world.cli(['audit', 'audited', '--verify', '--json']);
      assert.equal(code, 1, what);
      const found = document() as {
        decisions: { check: string }[];
        comparison: { with: string; problems: string[] };
      };
      assert.equal(found.decisions[0]?.check, check, what);
      assert.deepEqual([found.comparison.with, found.comparison.problems.length], ['history', 1], what);
      assert.match(found.comparison.problems[0] ?? '', expected, what);
      assert.match((await world.cli(['audit', 'audited', '--verify'])).out, expected, what);
    }
    await writeFile(file, JSON.stringify(record));
    assert.equal((await world.cli(['audit', 'audited', '--verify'])).code, 0);
  });

  test('no private key, password or token is in any history, memo, search attribute or file of the project', async () => {
    await waiting('signed', '--key', keyOf('ana'));
    const argv = ['approve', 'signed', 'go-live', '--comment', 'good', '--key', keyOf('bo')];
    assert.equal((await world.cli(argv)).code, 0);
    const { record } = await ended('signed');
    const signature = record.decisions?.[0]?.signature?.value ?? assert.fail('it is signed');
    const forbidden = [
      ...Object.values(SECRETS),
      ...(await privateForms('ana')),
      ...(await privateForms('bo')),
    ];
    const told = await everythingInTemporal();
    assert.ok(told.includes(signature), 'the search finds what is there');
    assert.ok(told.includes('asks') && told.includes('AnnealStatus'));
    const kept = await everythingOnDisk(world.paths.stateDir);
    assert.ok(kept.includes(signature), 'and in files');
    for (const secret of forbidden) {
      assert.ok(!told.includes(secret), 'in Temporal');
      assert.ok(!kept.includes(secret), 'in a file');
    }
  });

  /** A private key as it may be written: its file's lines, and its 32 bytes. */
  async function privateForms(name: string): Promise<readonly string[]> {
    const pem = await readFile(keyOf(name), 'utf8');
    const { d = '' } = createPrivateKey(pem).export({ format: 'jwk' });
    const bytes = Buffer.from(d, 'base64url');
    assert.equal(bytes.length, 32);
    const lines = pem.split('\n').filter((line) => line !== '' && !line.startsWith('-----'));
    return [...lines, d, bytes.toString('base64'), bytes.toString('hex'), bytes.toString('latin1')];
  }

  /** All that the server has of every execution: histories whole, descriptions with memo and search attributes. */
  async function everythingInTemporal(): Promise<string> {
    const { workflow } = world.temporal;
    const texts: string[] = [];
    let seen = false;
    for await (const { workflowId, runId } of workflow.list()) {
      const handle = workflow.getHandle(workflowId, runId);
      texts.push(...textsOf(await handle.fetchHistory()), ...textsOf((await handle.describe()).raw));
      seen ||= workflowId === 'signed';
    }
    assert.ok(seen);
    return texts.join('\n');
  }

  async function everythingOnDisk(root: string): Promise<string> {
    const entries = await readdir(root, { recursive: true, withFileTypes: true });
    const texts = await Promise.all(
      entries
        .filter((entry) => entry.isFile())
        .map(async ({ parentPath, name }) => await readFile(path.join(parentPath, name), 'latin1')),
    );
    return texts.join('\n');
  }
});

/** Every text and all bytes in a message of the server. */
function textsOf(value: unknown): readonly string[] {
  if (typeof value === 'string') return [value];
  if (value instanceof Uint8Array) return [Buffer.from(value).toString('latin1')];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) => [name, ...textsOf(inner)]);
}
