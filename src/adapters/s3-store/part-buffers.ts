/** Memory for parts that are on their way: so many at a time over everything that a store sends, each one used again. */
export interface PartBuffers {
  /**
   * Waits for a free one; who asks first gets it first. Readers of several parts stand on that: of what one of them has, the part that it needs
   * next is among it, so that they cannot wait for each other. Larger parts than usual get memory of their own, in one of the same places.
   */
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
    const next = waiting.shift();
    // The place itself is handed on: nobody who asks just now comes before.
    if (next) return next();
    taken -= 1;
    // A worker that has stored something keeps no memory for the next time.
    if (taken === 0) idle.length = 0;
  };
  return {
    take: async (bytes) => {
      if (taken >= count) await new Promise<void>((resolve) => waiting.push(resolve));
      else taken += 1;
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
