import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';
import { canonicalJson } from './json.js';

/** Lower-case hex sha256 of a text's UTF-8 bytes. */
export function digestOfText(text: string): string {
  return bytesToHex(sha256(utf8ToBytes(text)));
}

/** Lower-case hex sha256 of a value's canonical JSON. */
export function digestOf(value: unknown): string {
  return digestOfText(canonicalJson(value));
}

const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567';

/** The first `length` characters of the lower-case base32 (RFC 4648, no padding) of sha256(text). */
export function base32Digest(text: string, length: number): string {
  let bits = 0;
  let buffer = 0;
  let out = '';
  for (const byte of sha256(utf8ToBytes(text))) {
    buffer = (buffer << 8) | byte;
    bits += 8;
    while (bits >= 5 && out.length < length) {
      out += BASE32.charAt((buffer >> (bits - 5)) & 31);
      bits -= 5;
    }
    buffer &= (1 << bits) - 1;
  }
  return out;
}
