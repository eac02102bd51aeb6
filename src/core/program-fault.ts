/**
 * The fault of a program of ours, not of what it works with: the same again would fail the same way. `undefined`: something else, such as a
 * connection, which `fetch` tells as a TypeError with a cause.
 */
export function programFault(error: unknown): string | undefined {
  if (!(error instanceof Error) || error.cause !== undefined) return undefined;
  return FAULTS.test(error.name) ? `${error.name}: ${error.message}` : undefined;
}

/** The same of a program that broke off, from what Node wrote last. */
export function programFaultOfLog(text: string): string | undefined {
  const lines = text.trim().split('\n');
  if (!/^Node\.js v\d/.test(lines.at(-1) ?? '')) return undefined;
  const line = lines.find((one) => /^(TypeError|ReferenceError|SyntaxError|RangeError)\b/.test(one));
  const missing = lines.find((one) =>
    /^Error( \[ERR_MODULE_NOT_FOUND\])?: Cannot find (module|package) /.test(one),
  );
  if (line?.endsWith(': fetch failed')) return undefined;
  return line ?? missing;
}

/** What to do about it. */
export function programFaultSentence(container: string, fault: string): string {
  return `Anneal's own program in container "${container}" of its pod broke off (${fault.replace(/\.$/, '')}). It is most likely not of this worker's version: put the image of that version into kubernetes.image of anneal.yaml.`;
}

const FAULTS = /^(TypeError|ReferenceError|SyntaxError|RangeError)$/;
