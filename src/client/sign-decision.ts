import { createPrivateKey, createPublicKey, sign, type KeyObject } from 'node:crypto';
import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { SIGNATURE_NAMESPACE, type DecisionSignature } from '../core/approval.js';
import { AnnealError } from '../core/failures.js';

/** Signs decisions. The private key stays where it is: only signatures leave. */
export interface DecisionSigner {
  /** Raw Ed25519 public key, lower-case hex. */
  readonly publicKey: string;
  sign(statement: string): Promise<DecisionSignature>;
}

/**
 * A signer for an Ed25519 key file: a PEM (PKCS #8), or an OpenSSH key, private or public, which `ssh-keygen -Y sign` uses, with its
 * agent, its question for a passphrase and hardware keys' touch.
 * @throws AnnealError InvalidInput for a file that is not there or holds something else.
 */
export async function openSigner(file: string): Promise<DecisionSigner> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new AnnealError(
      'InvalidInput',
      `The key ${file} cannot be read: ${(cause as Error).message}. Name an Ed25519 key file with --key.`,
      { cause },
    );
  });
  if (/^-----BEGIN OPENSSH PRIVATE KEY-----/.test(text) || /^ssh-ed25519 /.test(text))
    return await sshSigner(file, text);
  return pemSigner(file, text);
}

function pemSigner(file: string, text: string): DecisionSigner {
  const key = readPem(file, text);
  const { x = '' } = createPublicKey(key).export({ format: 'jwk' });
  const publicKey = Buffer.from(x, 'base64url').toString('hex');
  return {
    publicKey,
    sign: async (statement) =>
      await Promise.resolve({
        scheme: 'ed25519',
        key: publicKey,
        value: sign(null, Buffer.from(statement), key).toString('hex'),
      }),
  };
}

function readPem(file: string, text: string): KeyObject {
  try {
    const key = createPrivateKey(text);
    if (key.asymmetricKeyType === 'ed25519') return key;
  } catch {
    // Said below, together with keys of another type: what was found must not be quoted.
  }
  throw new AnnealError(
    'InvalidInput',
    `${file} is not an Ed25519 private key without a passphrase. Use an SSH key (ssh-keygen -t ed25519), or a PEM made with: openssl genpkey -algorithm ed25519`,
  );
}

async function sshSigner(file: string, text: string): Promise<DecisionSigner> {
  const line = text.startsWith('ssh-') ? text : await sshKeygen(['-y', '-f', file], file);
  const blob = Buffer.from(line.split(' ')[1] ?? '', 'base64');
  return {
    publicKey: ed25519KeyOf(blob, file),
    sign: async (statement) => {
      const args = ['-Y', 'sign', '-q', '-n', SIGNATURE_NAMESPACE, '-f', file];
      return parseSshSignature(await sshKeygen(args, file, statement), file);
    },
  };
}

/** OpenSSH PROTOCOL.sshsig: magic, version, public key, namespace, reserved, hash algorithm, signature. */
function parseSshSignature(armored: string, file: string): DecisionSignature {
  const blob = Buffer.from(armored.replace(/-----[^-]+-----|\s/g, ''), 'base64');
  const reader = createSshReader(blob.subarray('SSHSIG'.length + 4));
  const key = ed25519KeyOf(reader(), file);
  reader();
  reader();
  const hash = reader().toString('latin1');
  const signature = createSshReader(reader());
  signature();
  const value = signature();
  if (hash !== 'sha512' || value.length !== 64)
    throw new AnnealError(
      'InvalidInput',
      `ssh-keygen signed with ${file} in a form that Anneal does not take (hash ${hash}, ${value.length} bytes); it must be Ed25519 with sha512.`,
    );
  return { scheme: 'sshsig', key, value: value.toString('hex') };
}

function ed25519KeyOf(blob: Buffer, file: string): string {
  const reader = createSshReader(blob);
  const type = reader().toString('latin1');
  const key = reader();
  if (type === 'ssh-ed25519' && key.length === 32) return key.toString('hex');
  throw new AnnealError(
    'InvalidInput',
    `${file} holds a key of type "${type}"; decisions are signed with Ed25519. Make one with: ssh-keygen -t ed25519`,
  );
}

/** Reads the strings of SSH's wire format one by one: a length of 4 bytes, then the bytes. */
function createSshReader(blob: Buffer): () => Buffer {
  let at = 0;
  return () => {
    const length = at + 4 <= blob.length ? blob.readUInt32BE(at) : 0;
    const bytes = blob.subarray(at + 4, at + 4 + length);
    at += 4 + length;
    return bytes;
  };
}

async function sshKeygen(args: readonly string[], file: string, input = ''): Promise<string> {
  return await new Promise((resolve, reject) => {
    const child = spawn('ssh-keygen', args, { stdio: ['pipe', 'pipe', 'inherit'] });
    const chunks: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
    child.stdin.on('error', () => undefined);
    child.on('error', (cause) => {
      const message = `${file} is an OpenSSH key, and ssh-keygen cannot be run: ${cause.message}. Install OpenSSH's client, or use a PEM key.`;
      reject(new AnnealError('InvalidInput', message, { cause }));
    });
    child.on('close', (code) => {
      if (code === 0) resolve(Buffer.concat(chunks).toString('utf8'));
      else
        reject(
          new AnnealError('InvalidInput', `ssh-keygen ${args[0]} failed for ${file} with exit code ${code}.`),
        );
    });
    child.stdin.end(input);
  });
}
