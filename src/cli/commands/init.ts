import { mkdir, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { shellWord } from '../../client/run-id.js';
import { AnnealError } from '../../core/failures.js';
import type { Command } from '../command.js';
import { commonFiles, projectNameOf, type ProjectFiles } from '../init/new-project.js';
import { isInstalledPackage, packageRoot, packageVersion } from '../package-version.js';
import { EXIT } from '../report-error.js';

/** `anneal init DIR`: a project that runs at once; with `--from` its step is the user's script or notebook. */
export const init: Command = async (context, [given = ''], { from }) => {
  const directory = path.resolve(context.cwd, given);
  await refuseUsedDirectory(directory);
  const source = from === undefined ? undefined : path.resolve(context.cwd, from);
  const files: ProjectFiles = {
    ...commonFiles({ project: projectNameOf(path.basename(directory)), version: packageVersion() }),
    ...(await stepFiles(source)),
  };
  for (const [name, text] of Object.entries(files)) {
    const file = path.join(directory, name);
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, text, { flag: 'wx' });
  }
  const shown = path.relative(context.cwd, directory) || '.';
  context.terminal.show({ directory, files: Object.keys(files) }, () =>
    [
      `Made ${shown} with ${Object.keys(files).join(', ')}.`,
      'Next:',
      ...nextLines(shellWord(shown), isInstalledPackage()),
    ].join('\n'),
  );
  return EXIT.ok;
};

/** From a clone of Anneal there is no package that `npm install` could fetch: its own command takes the project. */
function nextLines(shown: string, installed: boolean): readonly string[] {
  return installed
    ? [`  cd ${shown}`, '  npm install', '  npx anneal up', '  npx anneal run training --wait', '  npm test']
    : [
        `  npx anneal up --project ${shown}`,
        `  npx anneal run training --project ${shown} --wait`,
        'Its tests, and types in an editor, need the package in the project:',
        `  npm pack ${shellWord(packageRoot())} --pack-destination ${shown}`,
        `  cd ${shown} && npm install ./anneal-${packageVersion()}.tgz && npm test`,
      ];
}

async function stepFiles(source: string | undefined): Promise<ProjectFiles> {
  if (source === undefined) return (await import('../init/starter-files.js')).starterFiles;
  const { filesFrom } = await import('../init/files-from.js');
  return await filesFrom(source);
}

async function refuseUsedDirectory(directory: string): Promise<void> {
  const entries = await readdir(directory).catch(() => []);
  if (entries.filter((name) => name !== '.git').length === 0) return;
  throw new AnnealError(
    'InvalidCommand',
    `${directory} is not empty (it holds "${entries[0]}"). Name a new directory: nothing is ever overwritten.`,
  );
}
