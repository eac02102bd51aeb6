import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';
import { bundleWorkflows } from '../../src/workers/build/bundle-workflows.js';
import { locateOwnModules } from '../../src/workers/build/own-modules.js';

const root = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');

/** Bundles a pipelines module as a build does. @param pipelines relative to the repository. */
export async function bundlePipelines(pipelines: string): Promise<{ readonly code: string }> {
  const workDir = await mkdtemp(path.join(tmpdir(), 'anneal-replay-'));
  try {
    const { bundle } = await bundleWorkflows({ root, pipelines, workDir, own: locateOwnModules() });
    return { code: bundle };
  } finally {
    await rm(workDir, { recursive: true, force: true });
  }
}

/** Bundles Anneal's own workflows. */
export async function bundleSystem(): Promise<{ readonly code: string }> {
  return await bundleWorkflowCode({
    workflowsPath: path.join(root, 'src/workflows/system.ts'),
    logger: new DefaultLogger('ERROR'),
  });
}
