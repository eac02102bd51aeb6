import { open } from 'node:fs/promises';

const TAIL_BYTES = 16 * 1024;
const TAIL_LINES = 20;
const LINE_LIMIT = 500;

/** The last lines of a log, 20 at most, without empty ones at the end; an absent log has none. */
export async function readLogTail(file: string): Promise<string[]> {
  const handle = await open(file, 'r').catch(() => undefined);
  if (handle === undefined) return [];
  try {
    const { size } = await handle.stat();
    const start = Math.max(0, size - TAIL_BYTES);
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(size - start), 0, size - start, start);
    const shown = shownLines(buffer.subarray(0, bytesRead).toString('utf8').trimEnd());
    if (start > 0) shown.shift();
    return shown.length === 1 && shown[0] === '' ? [] : shown.slice(-TAIL_LINES);
  } finally {
    await handle.close();
  }
}

/** The lines of a text as a terminal shows them: a progress bar rewrites its line with carriage returns, and what was shown last is what counts. */
export function shownLines(text: string): string[] {
  return text.split(/\r?\n/).map((line) => line.slice(line.lastIndexOf('\r') + 1).slice(0, LINE_LIMIT));
}

/** A sentence with the last line of a log that says something, for a message; empty when there is none. */
export function lastLineSentence(tail: readonly string[]): string {
  const line = tail.findLast((text) => text.trim() !== '' && !text.startsWith('anneal: '));
  if (line === undefined) return '';
  const shown = line.trim().slice(0, 300);
  // More may follow it in the message.
  return ` Its last line was: ${shown}${/[.!?\u2026]$/.test(shown) ? '' : '.'}`;
}
