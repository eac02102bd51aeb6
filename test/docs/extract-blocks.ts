import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository's root. */
export const root = fileURLToPath(new URL('../..', import.meta.url));

/** A Markdown page, by its path from the root. */
export interface Page {
  readonly path: string;
  readonly text: string;
}

/** A fenced block: ` ```ts steps.ts ` has the language `ts` and the name `steps.ts`. */
export interface Block {
  readonly language: string;
  readonly name: string | undefined;
  readonly code: string;
  /** Line of the page on which the code begins. */
  readonly line: number;
}

/** Every page that a user reads. */
export async function readPages(): Promise<Page[]> {
  const docs = (await readdir(path.join(root, 'docs'))).filter((name) => name.endsWith('.md'));
  const examples = (await readdir(path.join(root, 'examples'))).map((name) => `examples/${name}/README.md`);
  const paths = ['README.md', 'ARCHITECTURE.md', ...docs.map((name) => `docs/${name}`), ...examples];
  return await Promise.all(
    paths.map(async (page) => ({ path: page, text: await readFile(path.join(root, page), 'utf8') })),
  );
}

/** The fenced blocks of a page, in order. */
export function extractBlocks({ text }: Page): Block[] {
  return [...text.matchAll(/^```(\w+)(?: (\S+))?\n([^]*?)^```$/gm)].map((match) => ({
    language: match[1] ?? '',
    name: match[2],
    code: match[3] ?? '',
    line: text.slice(0, match.index).split('\n').length + 1,
  }));
}
