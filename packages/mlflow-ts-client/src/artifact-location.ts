import { CLIENT_ERROR_CODES, invalidArgument, MlflowError } from './errors.js';

/** Where an artifact root is served: a server and a path below its artifact API, not yet encoded. */
export interface ArtifactLocation {
  /** Tracking server, or the host that the root itself names. */
  readonly server: string;
  readonly path: string;
}

/**
 * Reads an `artifactUri`. `mlflow-artifacts:/path` is served by the tracking server, `mlflow-artifacts://host:port/path`
 * by that host with the tracking server's scheme and prefix (as MLflow's Python client does). Anything else, such as
 * `s3://`, is ARTIFACT_STORE_DIRECT.
 */
export function readArtifactRoot(root: string, trackingServer: string): ArtifactLocation {
  const match = /^mlflow-artifacts:(?:\/\/([^/]*))?(?:\/+(.*))?$/s.exec(root);
  if (match === null) {
    throw new MlflowError({
      code: CLIENT_ERROR_CODES.ARTIFACT_STORE_DIRECT,
      message: `The artifacts under ${root} are not served by MLflow (expected mlflow-artifacts:/...). Start the server with --serve-artifacts and a new experiment, or use that store's own client.`,
    });
  }
  const host = match[1] ?? '';
  const path = (match[2] ?? '').replace(/\/+$/, '');
  if (host === '') return { server: trackingServer, path };
  if (!/^[A-Za-z0-9.-]+(:\d+)?$|^\[[0-9a-fA-F:]+\](:\d+)?$/.test(host)) {
    throw invalidArgument(
      `The artifact root ${root} names the host "${host}", which is not a host with an optional port.`,
    );
  }
  const tracking = new URL(trackingServer);
  return { server: `${tracking.protocol}//${host}${tracking.pathname.replace(/\/+$/, '')}`, path };
}

/**
 * Encodes every segment of an artifact path for the address. Refuses what has been used to leave the artifact
 * directory: `..`, `.`, absolute and empty segments, backslashes, `#`, `?`, NUL and other control characters, and
 * anything that is percent-encoded already.
 */
export function encodeArtifactPath(path: string): string {
  const segments = path.split('/');
  for (const segment of segments) {
    const wrong = findUnsafePart(segment);
    if (wrong !== undefined) {
      throw invalidArgument(
        `The artifact path ${JSON.stringify(path)} has ${wrong}. Use relative names joined by "/", without . or .. and without \\ # ? and %-codes.`,
      );
    }
  }
  return segments.map(encodeURIComponent).join('/');
}

function findUnsafePart(segment: string): string | undefined {
  if (segment === '') return 'an empty segment';
  if (segment === '.' || segment === '..') return `a segment "${segment}"`;
  const character = /[\\#?]/.exec(segment)?.[0];
  if (character !== undefined) return `the character "${character}"`;
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  if (/[\u0000-\u001f\u007f]/.test(segment)) return 'a control character';
  const code = /%[0-9a-f]{2}/i.exec(segment)?.[0];
  return code === undefined ? undefined : `the code "${code}"`;
}
