/** The longest line that is taken: an object of the API has 1.5 MiB at most. */
const LONGEST = 16 * 2 ** 20;

/** The stream ended in the middle of a line. */
export class CutStreamError extends Error {
  constructor(detail: string) {
    super(`The watch was cut: ${detail}.`);
    this.name = 'CutStreamError';
  }
}

/** Whole lines of a stream, without empty ones. @throws CutStreamError when it ends within a line. */
export async function* readLines(stream: AsyncIterable<Buffer>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of stream) {
    rest += decoder.decode(chunk, { stream: true });
    let from = 0;
    for (let end = rest.indexOf('\n'); end !== -1; end = rest.indexOf('\n', from)) {
      const line = rest.slice(from, end).trim();
      from = end + 1;
      if (line !== '') yield line;
    }
    rest = rest.slice(from);
    if (rest.length > LONGEST) throw new CutStreamError(`a line of more than ${LONGEST} bytes`);
  }
  if (rest.trim() !== '') throw new CutStreamError('its last line has no end');
}
