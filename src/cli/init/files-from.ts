import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { AnnealError } from '../../core/failures.js';
import { filesFromNotebook } from './from-notebook.js';
import { filesFromScript } from './from-script.js';
import type { ProjectFiles } from './new-project.js';

/** A pipeline around a script (`.py`) or notebook (`.ipynb`). @throws AnnealError InvalidCommand when it cannot be used. */
export async function filesFrom(source: string): Promise<ProjectFiles> {
  const text = await readFile(source, 'utf8').catch((cause: unknown) => {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new AnnealError(
      'InvalidCommand',
      `--from ${source} cannot be read (${why}). Name a train.py or a notebook.ipynb.`,
      { cause },
    );
  });
  switch (path.extname(source)) {
    case '.py':
      return await filesFromScript(source, text);
    case '.ipynb':
      return await filesFromNotebook(source, text);
    default:
      throw new AnnealError(
        'InvalidCommand',
        `--from ${source} is neither a .py nor an .ipynb file; name a Python script or a notebook.`,
      );
  }
}
