import type { FailureInfo } from './failures.js';
import { isFailureCode } from './failures.js';

/** Kubernetes keeps 4,096 bytes of a container's last message. */
const LENGTH = 2_000;

/** A failure as the last message of a container of ours: who cannot read it from the store reads it there. */
export function toLastMessage({ code, message }: FailureInfo): string {
  return `${code}: ${message}`.slice(0, LENGTH);
}

/** The failure of a last message; `undefined`: it is another text, such as the end of a log. */
export function readLastMessage(text: string): FailureInfo | undefined {
  const [, code, message = ''] = /^([A-Z][A-Za-z]+): (.+)$/s.exec(text.trim()) ?? [];
  return isFailureCode(code) ? { code, message } : undefined;
}
