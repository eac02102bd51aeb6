/** Memory for parts that are on their way: so many at a time over everything that a store sends, each one used again. */
export interface PartBuffers {
  /** Waits for a free one. Larger parts than usual get memory of their own, in one of the same places. */
  take(bytes: number): Promise<PartBuffer>;
}

/** Lent until it is given back. */
export interface PartBuffer {
  readonly bytes: Uint8Array;
  giveBack(): void;
}

/** Room for `count` parts of `partBytes`; memory is taken when it is first needed. */
export function createPartBuffers(count: number, partBytes: number): PartBuffers {
  const idle: Uint8Array[] = [];
  const waiting: (() => void)[] = [];
  let taken = 0;
  const giveBack = (bytes: Uint8Array) => {
    if (bytes.byteLength === partBytes) idle.push(bytes);
    taken -= 1;
    // A worker that has stored something keeps no memory for the next time.
    if (taken === 0 && waiting.length === 0) idle.length = 0;
    waiting.shift()?.();
  };
  return {
    take: async (bytes) => {
      while (taken >= count) await new Promise<void>((resolve) => waiting.push(resolve));
      taken += 1;
      const buffer = bytes > partBytes ? new Uint8Array(bytes) : (idle.pop() ?? new Uint8Array(partBytes));
      let given = false;
      return {
        bytes: buffer,
        giveBack: () => {
          if (!given) giveBack(buffer);
          given = true;
        },
      };
    },
  };
}
