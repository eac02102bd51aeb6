/** How a person calls the CLI from where they are. */
export type CalledAs = 'anneal' | 'npx anneal';

/**
 * How this program was called: a program on PATH is called by its name, one that came with a project's packages only npx finds.
 * @param script The file that Node was given.
 */
export function readCalledAs(
  script: string | undefined,
  env: { readonly [name: string]: string | undefined },
): CalledAs {
  const byNpm = env['npm_execpath'] !== undefined || env['npm_command'] !== undefined;
  return !byNpm && script !== undefined && ON_PATH.test(script) ? 'anneal' : 'npx anneal';
}

/** A link named `anneal`, but not among a project's packages. */
const ON_PATH = /^(?!.*[/\\]node_modules[/\\]).*[/\\]anneal$/;

/** Makes what rewrites the commands in a text, `anneal up`, as they are called here: `npx anneal up`. Other words stay. */
export function createCommandWording(
  calledAs: CalledAs,
  commands: readonly string[],
): (text: string) => string {
  const pattern = new RegExp(
    String.raw`(?<![\w./@-]|npx )anneal(?= (?:${commands.join('|')}|--help)\b)`,
    'g',
  );
  return calledAs === 'anneal' ? (text) => text : (text) => text.replace(pattern, calledAs);
}
