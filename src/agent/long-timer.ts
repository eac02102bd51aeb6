/** The longest that one timer of Node's waits; a longer one fires at once. */
const LONGEST_MS = 2 ** 31 - 1;

/** Calls back once after a time of any length. */
export function startLongTimer(ms: number, onEnd: () => void): { clear(): void } {
  let timer: NodeJS.Timeout;
  const wait = (leftMs: number) => {
    const nextMs = Math.min(leftMs, LONGEST_MS);
    timer = setTimeout(() => (leftMs > nextMs ? wait(leftMs - nextMs) : onEnd()), nextMs);
  };
  wait(ms);
  return { clear: () => clearTimeout(timer) };
}
