import type { CallStatus, RunStatus } from '../core/run.js';

/** Where the Web UIs are. */
export interface LinkBases {
  /** Without slash at the end. */
  readonly temporalUiUrl?: string;
  readonly namespace: string;
  readonly trackingUiUrl?: string;
}

/** Links to a run's pages. */
export interface RunLinks {
  readonly temporal?: string;
  readonly mlflow?: string;
  readonly model?: string;
}

/** A registered version that a run made. */
export interface RegisteredModel {
  readonly name: string;
  readonly version: string;
  readonly alias?: string;
}

/** The pages of a run in Temporal and MLflow, and of the model version that it registered. */
export function buildRunLinks(status: RunStatus, bases: LinkBases): RunLinks {
  const { temporalUiUrl, trackingUiUrl, namespace } = bases;
  const { tracking } = status;
  const model = findRegisteredModel(status.calls);
  const part = encodeURIComponent;
  return {
    ...(temporalUiUrl === undefined
      ? {}
      : { temporal: `${temporalUiUrl}/namespaces/${part(namespace)}/workflows/${part(status.runId)}` }),
    ...(trackingUiUrl === undefined || !tracking
      ? {}
      : {
          mlflow: `${trackingUiUrl}/#/experiments/${part(tracking.experimentId)}/runs/${part(tracking.runId)}`,
        }),
    ...(trackingUiUrl === undefined || !model
      ? {}
      : { model: `${trackingUiUrl}/#/models/${part(model.name)}/versions/${part(model.version)}` }),
  };
}

/** The newest version that the run's calls registered, with the alias that was moved to it. */
export function findRegisteredModel(calls: readonly CallStatus[]): RegisteredModel | undefined {
  const done = calls.filter((call) => call.kind === 'model' && call.state === 'succeeded').reverse();
  for (const call of done) {
    const version = /version (\d+)/.exec(call.detail ?? '')?.[1];
    const promoted = /^promote (.+)@([^@]+)$/.exec(call.name);
    const registered = /^register (.+)$/.exec(call.name);
    const name = promoted?.[1] ?? registered?.[1];
    if (name === undefined || version === undefined) continue;
    return { name, version, ...(promoted?.[2] === undefined ? {} : { alias: promoted[2] }) };
  }
  return undefined;
}
