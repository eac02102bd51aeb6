/** Where is printed: a terminal, a file, a test. */
export interface Output {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

const WIDTH = 30;

/** A bar on a terminal; elsewhere a line for every twentieth part. */
export function createProgressBar(total: number, out: Output) {
  const startedAt = performance.now();
  let shown = -1;
  return {
    show: (done: number, { violations, now }: { readonly violations: number; readonly now: string }) => {
      const share = total === 0 ? 1 : done / total;
      const filled = Math.round(share * WIDTH);
      const each = done === 0 ? '' : `  ${((performance.now() - startedAt) / 1000 / done).toFixed(1)} s each`;
      const text = `[${'#'.repeat(filled)}${'-'.repeat(WIDTH - filled)}] ${done}/${total}  ${violations} violations${each}`;
      if (out.isTTY) return void out.write(`\r\u001b[K${text}  ${now}`.slice(0, (out.columns ?? 120) + 4));
      const part = Math.floor(share * 20);
      if (part !== shown) out.write(`${text}\n`);
      shown = part;
    },
    end: () => {
      if (out.isTTY) out.write('\r\u001b[K');
    },
  };
}
