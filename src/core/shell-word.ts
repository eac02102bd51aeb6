/** A text as one word of a command line that people copy, quoted where a shell needs it. */
export function shellWord(text: string): string {
  return /^[\w.@:+/-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
