import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { findGlobalUses } from '../../adapters/module-bundler.js';
import type { CodeProblem } from '../../adapters/module-bundler.js';

/** What is deterministic in Temporal's sandbox but not in the journal, and what is. */
const UNRECORDED = {
  'Date.now': 'now()',
  'Math.random': 'random()',
  'new Date()': 'new Date(now())',
} as const;

const PATTERNS = {
  'Date.now': /\bDate\s*\.\s*now\b/,
  'Math.random': /\bMath\s*\.\s*random\b/,
  'new Date()': /\bnew\s+Date\s*\(\s*\)|\bnew\s+Date\b(?!\s*\()/,
} as const;

/** Uses, in a project's own modules, of clocks and random numbers that change when a run is continued from its journal. */
export async function findUnrecorded(files: readonly string[], root: string): Promise<CodeProblem[]> {
  const modules = files.filter((file) => /\.[cm]?[tj]sx?$/.test(file));
  const found = await Promise.all(modules.map((file) => inFile(file, root)));
  return found.flat();
}

async function inFile(file: string, root: string): Promise<CodeProblem[]> {
  const code = await readFile(file, 'utf8');
  const names = Object.keys(UNRECORDED) as (keyof typeof UNRECORDED)[];
  // The quick look first: most modules have none of the words.
  if (!names.some((name) => PATTERNS[name].test(code))) return [];
  const uses = await findGlobalUses({ code, extension: path.extname(file) }, names);
  return names
    .filter((name) => uses.includes(name))
    .map((name) => ({
      text: `${name} is not recorded, so a run that continues or is retried sees another value; use ${UNRECORDED[name]} from "anneal"`,
      file: path.relative(root, file),
      ...placeOf(code, PATTERNS[name]),
    }));
}

/** The first place where the code, not its comments or texts, matches. */
function placeOf(
  code: string,
  pattern: RegExp,
): { readonly line: number; readonly column: number } | undefined {
  const offset = code.replace(COMMENTS_AND_TEXTS, (found) => found.replace(/[^\n]/g, ' ')).search(pattern);
  if (offset < 0) return undefined;
  const before = code.slice(0, offset).split('\n');
  return { line: before.length, column: (before.at(-1)?.length ?? 0) + 1 };
}

const COMMENTS_AND_TEXTS = /\/\*[\s\S]*?\*\/|\/\/.*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"/g;
