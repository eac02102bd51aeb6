import { isS3Uri } from '../../core/store-location.js';

/**
 * The variables through which a program finds AWS's credentials and settings: for a supervisor whose store, or an input of whose step, is
 * in S3. It hands none of them to the step's command.
 */
export function s3Environment(uris: readonly string[], env: NodeJS.ProcessEnv): Record<string, string> {
  if (!uris.some(isS3Uri)) return {};
  const found: Record<string, string> = {};
  for (const [name, value] of Object.entries(env))
    // Profiles are in the home directory.
    if (value !== undefined && (name.startsWith('AWS_') || name === 'HOME')) found[name] = value;
  return found;
}
