import { randomBytes } from 'node:crypto';

export { shellWord } from '../core/shell-word.js';

/** Longest workflow id that Temporal takes. */
export const RUN_ID_LIMIT = 1_000;

/** A run id for people: `<pipeline>-<yyyymmdd>-<hhmmss>-<4 letters or digits>`, in UTC. */
export function createRunId(pipeline: string, nowMs: number): string {
  const time = new Date(nowMs).toISOString().replace(/[-:]/g, '').replace('T', '-').slice(0, 15);
  return `${pipeline}-${time}-${randomLetters(4)}`;
}

function randomLetters(count: number): string {
  return [...randomBytes(count)].map((byte) => LETTERS.charAt(byte % LETTERS.length)).join('');
}

/** Without letters and digits that look alike; 32 of them, so that every one is equally likely. */
const LETTERS = 'abcdefghijkmnpqrstuvwxyz23456789';
