import assert from 'node:assert/strict';
import { access, readFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';

import { createProgram } from '../../src/cli/program.js';
import { extractBlocks, readPages, root, type Page } from './extract-blocks.js';

const pages = await readPages();

/** Command lines that start with `npx anneal`, in shell blocks and in running text, without comments. */
function commandsOf(page: Page): string[] {
  const blocks = extractBlocks(page).filter(({ language }) => language === 'sh');
  const lines = blocks.flatMap(({ code }) => code.split('\n'));
  const inline = [...page.text.matchAll(/`(npx anneal [^`\n]+)`/g)].map((match) => match[1] ?? '');
  return [...lines, ...inline]
    .filter((line) => line.startsWith('npx anneal '))
    .map((line) => line.slice('npx anneal '.length).replace(/ +#.*/, '').trim());
}

/** Whether the command line program takes the words; what it says when not. */
async function parse(command: string): Promise<string | undefined> {
  let said = '';
  const program = createProgram(async () => await Promise.resolve(), '0.0.0');
  const all = [program, ...program.commands, ...program.commands.flatMap((one) => one.commands)];
  for (const one of all) one.exitOverride().configureOutput({ writeErr: (text) => void (said += text) });
  try {
    await program.parseAsync(command.split(/ +/), { from: 'user' });
    return undefined;
  } catch {
    return said;
  }
}

test('every anneal command of the docs is one that the program takes', async () => {
  const commands = pages.flatMap((page) => commandsOf(page).map((command) => ({ page: page.path, command })));
  assert.ok(commands.length > 10);
  for (const { page, command } of commands)
    assert.equal(await parse(command), undefined, `${page}: npx anneal ${command}`);
  assert.match((await parse('run')) ?? '', /missing required argument/);
});

test('every npm script of the docs is in package.json', async () => {
  const { scripts } = JSON.parse(await readFile(path.join(root, 'package.json'), 'utf8')) as {
    readonly scripts: { readonly [name: string]: string };
  };
  const used = pages.flatMap((page) => [...page.text.matchAll(/npm run ([\w:-]+)|npm (start|test)\b/g)]);
  const missing = used.map((match) => match[1] ?? match[2] ?? '').filter((name) => !(name in scripts));
  assert.deepEqual([...new Set(missing)], []);
});

test('every relative link of the docs leads to a file', async () => {
  for (const { path: page, text } of pages) {
    const links = [...text.matchAll(/\]\((?!\w+:|#)([^)#\s]+)/g)].map((match) => match[1] ?? '');
    for (const link of links) {
      const file = path.join(root, path.dirname(page), link);
      assert.ok(
        await access(file).then(
          () => true,
          () => false,
        ),
        `${page} links to ${link}`,
      );
    }
  }
});
