import { hashes, verify } from '@noble/ed25519';
import { sha512 } from '@noble/hashes/sha2.js';
import { concatBytes, hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js';
import { SIGNATURE_NAMESPACE, type DecisionSignature } from './approval.js';

/**
 * Checks an Ed25519 signature in plain JavaScript, synchronously: what an update's validator can do.
 * @returns false also for a key that is not a point of the curve.
 */
export function verifySignature(statement: string, signature: DecisionSignature): boolean {
  hashes.sha512 = sha512;
  const message = utf8ToBytes(statement);
  const signed = signature.scheme === 'sshsig' ? sshSignedData(message) : message;
  try {
    return verify(hexToBytes(signature.value), signed, hexToBytes(signature.key));
  } catch {
    return false;
  }
}

/** What `ssh-keygen -Y sign` signs (OpenSSH PROTOCOL.sshsig): magic, namespace, reserved, hash algorithm, hash of the message. */
function sshSignedData(message: Uint8Array): Uint8Array {
  return concatBytes(
    utf8ToBytes('SSHSIG'),
    sshString(utf8ToBytes(SIGNATURE_NAMESPACE)),
    sshString(new Uint8Array()),
    sshString(utf8ToBytes('sha512')),
    sshString(sha512(message)),
  );
}

function sshString(bytes: Uint8Array): Uint8Array {
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, bytes.length);
  return concatBytes(length, bytes);
}
