import { storeKeys } from '../../core/artifact-store.js';
import type { PipelineDefinition } from '../../core/pipeline-definition.js';
import {
  triggerKey,
  triggerText,
  type FiredTrigger,
  type TriggerDefinition,
  type TriggerMark,
} from '../../core/triggers.js';
import type { ClientDeps } from '../client-deps.js';

/** A trigger of a pipeline, and what it has started last. */
export interface TriggerInfo {
  readonly pipeline: string;
  readonly trigger: TriggerDefinition;
  /** Such as `after ingest (completed)`. */
  readonly text: string;
  /** What happened before is history. Absent: no worker has looked yet. */
  readonly activatedAtMs?: number;
  readonly lastFired?: FiredTrigger;
}

/** The triggers of pipelines, with what the store knows of them. */
export async function listTriggers(
  deps: ClientDeps,
  pipelines: readonly PipelineDefinition[],
): Promise<readonly TriggerInfo[]> {
  return await Promise.all(
    pipelines.flatMap(({ name, triggers = [] }) =>
      triggers.map(async (trigger) => await describeTrigger(deps, name, trigger)),
    ),
  );
}

async function describeTrigger(
  { store, project }: ClientDeps,
  pipeline: string,
  trigger: TriggerDefinition,
): Promise<TriggerInfo> {
  const place = { project, pipeline, key: triggerKey(trigger) };
  const read = async <T>(at: string) => {
    const bytes = await store?.readBytes(at);
    return bytes === undefined ? undefined : (JSON.parse(Buffer.from(bytes).toString('utf8')) as T);
  };
  const mark = await read<TriggerMark>(storeKeys.triggerMark(place));
  let newest: { readonly key: string; readonly modifiedAtMs: number } | undefined;
  for await (const found of store?.list?.(storeKeys.triggersFired(place)) ?? [])
    if (newest === undefined || found.modifiedAtMs >= newest.modifiedAtMs) newest = found;
  const lastFired = newest && (await read<FiredTrigger>(newest.key));
  return {
    ...{ pipeline, trigger, text: triggerText(trigger) },
    ...(mark === undefined ? {} : { activatedAtMs: mark.activatedAtMs }),
    ...(lastFired === undefined ? {} : { lastFired }),
  };
}
