import { createPublicKey } from 'node:crypto';

/**
 * The raw Ed25519 public key, lower-case hex, of a line of an SSH key file (`ssh-ed25519 AAAA... comment`) or of a PEM
 * (`-----BEGIN PUBLIC KEY-----`); undefined for anything else.
 */
export function parseApproverKey(text: string): string | undefined {
  return text.trim().startsWith('-----BEGIN') ? keyOfPem(text) : keyOfSshLine(text);
}

function keyOfPem(text: string): string | undefined {
  try {
    const { x, crv } = createPublicKey(text).export({ format: 'jwk' });
    return crv === 'Ed25519' && x !== undefined ? Buffer.from(x, 'base64url').toString('hex') : undefined;
  } catch {
    return undefined;
  }
}

/** RFC 8709: string "ssh-ed25519", string key of 32 bytes; a string is a 4-byte length and its bytes. */
function keyOfSshLine(text: string): string | undefined {
  const [type, encoded = ''] = text.trim().split(/\s+/);
  if (type !== SSH_TYPE) return undefined;
  const blob = Buffer.from(encoded, 'base64');
  const head = 4 + SSH_TYPE.length;
  const fits =
    blob.length === head + 4 + KEY_BYTES &&
    blob.toString('latin1', 4, head) === SSH_TYPE &&
    blob.readUInt32BE(head) === KEY_BYTES;
  return fits ? blob.toString('hex', head + 4) : undefined;
}

const SSH_TYPE = 'ssh-ed25519';
const KEY_BYTES = 32;
