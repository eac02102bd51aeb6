import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { openSigner } from '../../src/client/sign-decision.js';
import { parseApproverKey } from '../../src/config/approver-keys.js';
import { verifySignature } from '../../src/core/verify-signature.js';

const STATEMENT = 'anneal-approval/1\n{"gate":"go-live"}\n';

describe('a key file', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'anneal-keys-'));
  });
  after(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  const inFolder = (name: string) => path.join(folder, name);

  test('of SSH signs what the run verifies, and its public line is what anneal.yaml takes', async () => {
    const file = inFolder('id_ed25519');
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'ana@laptop', '-f', file]);
    const signer = await openSigner(file);
    assert.equal(signer.publicKey, parseApproverKey(await readFile(`${file}.pub`, 'utf8')));
    const signature = await signer.sign(STATEMENT);
    assert.equal(signature.scheme, 'sshsig');
    assert.equal(signature.key, signer.publicKey);
    assert.ok(verifySignature(STATEMENT, signature));
    assert.ok(!verifySignature(`${STATEMENT} `, signature));
    assert.ok(!verifySignature(STATEMENT, { ...signature, scheme: 'ed25519' }));
    assert.ok(!verifySignature(STATEMENT, { ...signature, key: '0'.repeat(64) }));
  });

  test('of PEM signs what the run verifies, and its public half is what anneal.yaml takes', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    const file = inFolder('key.pem');
    await writeFile(file, privateKey.export({ type: 'pkcs8', format: 'pem' }));
    const signer = await openSigner(file);
    assert.equal(
      signer.publicKey,
      parseApproverKey(publicKey.export({ type: 'spki', format: 'pem' }).toString()),
    );
    const signature = await signer.sign(STATEMENT);
    assert.equal(signature.scheme, 'ed25519');
    assert.ok(verifySignature(STATEMENT, signature));
    assert.ok(!verifySignature(STATEMENT, { ...signature, scheme: 'sshsig' }));
  });

  test('that is something else is refused by name, without a word of what it holds', async () => {
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
    await writeFile(inFolder('rsa.pem'), rsa.privateKey.export({ type: 'pkcs8', format: 'pem' }));
    await writeFile(inFolder('note.txt'), 'my secret diary');
    for (const name of ['rsa.pem', 'note.txt'])
      await assert.rejects(openSigner(inFolder(name)), (error: Error) => {
        assert.match(error.message, new RegExp(`${name} is not an Ed25519 private key`));
        assert.ok(!error.message.includes('diary'));
        return true;
      });
    await assert.rejects(
      openSigner(inFolder('missing')),
      /missing cannot be read: .*Name an Ed25519 key file with --key/,
    );
  });

  test('lines that are no Ed25519 key are refused by anneal.yaml', () => {
    for (const text of [
      '',
      'ssh-rsa AAAAB3NzaC1yc2E=',
      'ssh-ed25519 AAAA',
      'ssh-ed25519',
      '-----BEGIN PUBLIC KEY-----',
    ])
      assert.equal(parseApproverKey(text), undefined);
  });
});
