import type { BuildCode } from '../../core/made-partition.js';
import { digestOf } from '../../core/digest.js';
import type { BuildManifest } from './build-manifest.js';

/** The code of a build, step by step, for {@link BuildCode}. Builds that were made before they said it have none. */
export function codeOf({ bundles, steps }: BuildManifest): { readonly code?: BuildCode } {
  if (bundles === undefined) return {};
  const digests = steps.map(({ name, codeDigest, pythonDigest }) => [
    name,
    pythonDigest === undefined ? codeDigest : digestOf([codeDigest, pythonDigest]),
  ]);
  return { code: { ...bundles, steps: Object.fromEntries(digests) as BuildCode['steps'] } };
}
