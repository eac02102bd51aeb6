import type { ReadCode } from '../activities/ports/code.js';
import { loadBuild } from './build/load-build.js';

/** Looks into the builds of this machine, each time: a build's origin is known better when the same sources are built again. */
export function createReadCode(buildsDir: string): ReadCode {
  return async ({ build, step }) => {
    const found = await loadBuild(buildsDir, build).catch(() => undefined);
    if (found === undefined) return {};
    const { origin, steps } = found.manifest;
    const pythonDigest = steps.find(({ name }) => name === step)?.pythonDigest;
    return {
      ...(origin && { origin }),
      ...(pythonDigest === undefined ? {} : { pythonDigest }),
    };
  };
}
