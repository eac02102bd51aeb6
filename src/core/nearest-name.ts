/** The candidate that a person most probably meant, or `undefined` when none is close (at most a third of its letters differ, or one where it is short, but never all). */
export function nearestName(typed: string, candidates: readonly string[]): string | undefined {
  let best: { readonly name: string; readonly distance: number } | undefined;
  for (const name of candidates) {
    const distance = editDistance(typed.toLowerCase(), name.toLowerCase());
    const limit = Math.max(1, Math.floor(Math.max(typed.length, name.length) / 3));
    if (distance <= limit && distance < typed.length && (best === undefined || distance < best.distance))
      best = { name, distance };
  }
  return best?.name;
}

/** Edits of one character (insert, delete, replace, swap of neighbours) from one text to another. */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (last[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swapped =
        i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
          ? (beforeLast[j - 2] ?? 0) + 1
          : Infinity;
      row.push(Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, replaced, swapped));
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length] ?? 0;
}

/** ` Did you mean "gpu"?` for the end of a message, or nothing when no candidate is close. */
export function didYouMean(typed: string, candidates: readonly string[]): string {
  const near = nearestName(typed, candidates);
  return near === undefined ? '' : ` Did you mean "${near}"?`;
}
