/** A machine that lacks what Anneal needs. The message is a whole sentence for the user, with the next step; no stack is shown. */
export class SetupError extends Error {
  readonly code = 'SETUP_FAILED';
  override readonly name = 'SetupError';
}

/** The last lines of a program's output, indented for a message; empty when there are none. */
export function lastLines(output: string, count = 8): string {
  const lines = output.split('\n').filter((line) => line.trim() !== '');
  return lines
    .slice(-count)
    .map((line) => `\n    ${line.trimEnd().slice(0, 300)}`)
    .join('');
}

/** Whether a package installer's output says that the index could not be reached. */
export function saysNoNetwork(output: string): boolean {
  return NO_NETWORK.test(output);
}

const NO_NETWORK =
  /name resolution|resolve host|dns error|NameResolutionError|NewConnectionError|ConnectTimeout|Connection refused|Network is unreachable|client error \(Connect\)|error sending request|ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ENETUNREACH|ETIMEDOUT/i;
