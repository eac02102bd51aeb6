import type { OpenArtifacts } from '../adapters/mlflow/model-place.js';
import { openStore } from '../adapters/open-store.js';
import type { ProjectConfig } from '../config/project-config.js';
import type { S3Settings } from '../core/store-location.js';

/**
 * How a worker reaches artifacts of an MLflow whose artifact root is in S3: like MLflow's own clients, by `MLFLOW_S3_ENDPOINT_URL` before
 * AWS's variables; what is left open is as for the project's store.
 */
export function openMlflowArtifacts(
  { store }: Pick<ProjectConfig, 'store'>,
  env: { readonly [name: string]: string | undefined },
): OpenArtifacts {
  const read = (...names: string[]) =>
    names.map((name) => env[name]).find((value) => value !== undefined && value !== '');
  const endpoint = read('MLFLOW_S3_ENDPOINT_URL', 'AWS_ENDPOINT_URL_S3', 'AWS_ENDPOINT_URL');
  const region = read('AWS_REGION', 'AWS_DEFAULT_REGION');
  const s3: S3Settings = {
    ...store.s3,
    ...(endpoint === undefined ? {} : { endpoint: endpoint.replace(/\/+$/, '') }),
    ...(region === undefined ? {} : { region }),
  };
  return (root) => openStore({ root, s3 });
}
