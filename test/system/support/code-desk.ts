import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { spawnCli } from './worker-process.js';

/** What `anneal deploy --json` says. */
export interface Deployed {
  readonly current: string;
  readonly previous?: string;
  readonly ramp?: { readonly digest: string; readonly percent: number };
}

/** The folder where somebody writes code and deploys it. The root may become known later. */
export interface CodeDesk {
  /** Contents by path. */
  write(files: { readonly [file: string]: string }): Promise<void>;
  cli(...argv: string[]): Promise<{ code: number | null; output: string; document: () => never }>;
  deploy(...argv: string[]): Promise<Deployed>;
}

export function openCodeDesk(of: () => { readonly root: string; readonly env: NodeJS.ProcessEnv }): CodeDesk {
  const cli: CodeDesk['cli'] = async (...argv) => {
    const { root, env } = of();
    const program = spawnCli([...argv, '--project', root], env);
    const { code } = await program.exited();
    return { code, output: program.output(), document: () => JSON.parse(program.document()) as never };
  };
  return {
    cli,
    write: async (files) => {
      for (const [file, contents] of Object.entries(files)) {
        const target = path.join(of().root, file);
        await mkdir(path.dirname(target), { recursive: true });
        await writeFile(target, contents);
      }
    },
    deploy: async (...argv) => {
      const { code, output, document } = await cli('deploy', '--json', ...argv);
      assert.equal(code, 0, output);
      return document();
    },
  };
}
