/** The last piece of a pod's stream of metrics: when its command ended, for whoever follows the stream. Begins on a line of its own. */
export function commandEndMark(atMs: number): string {
  return `\n{"commandEndedAtMs":${atMs}}\n`;
}

/** `undefined`: the piece is another. */
export function readCommandEndMark(piece: string): number | undefined {
  const [, atMs] = /^\n\{"commandEndedAtMs":(\d{1,15})\}\n$/.exec(piece) ?? [];
  return atMs === undefined ? undefined : Number(atMs);
}
