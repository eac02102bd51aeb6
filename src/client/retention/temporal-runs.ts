import type { Client } from '@temporalio/client';
import type { Payload } from '@temporalio/common';
import { AnnealError } from '../../core/failures.js';
import { referencesIn } from '../../core/retention.js';
import { pipelinesTaskQueue, systemTaskQueue } from '../../core/run.js';
import { classifyTemporalError, translateTemporalError } from '../temporal-errors.js';
import { eachOf } from './each-of.js';
import type { KnownRun, OpenRuns, RunSource } from './run-source.js';

/** What {@link createRunSource} is made of. */
export interface RunSourceDeps {
  /** With the project's data converter. */
  readonly temporal: Client;
  readonly project: string;
}

/** Histories that are read at a time. */
const AT_ONCE = 8;

/** Temporal as {@link RunSource}. */
export function createRunSource(deps: RunSourceDeps): RunSource {
  const { temporal, project } = deps;
  const ask = async <T>(about: string, call: () => Promise<T>): Promise<T> => {
    try {
      return await call();
    } catch (error) {
      throw translateTemporalError(error, about);
    }
  };
  const queues = `(TaskQueue = '${pipelinesTaskQueue(project)}' OR TaskQueue = '${systemTaskQueue(project)}')`;
  return {
    identity: async () =>
      await ask('its namespace', async () => {
        const { namespaceInfo } = await temporal.workflowService.describeNamespace({
          namespace: temporal.options.namespace,
        });
        return namespaceInfo?.id ?? '';
      }),
    readOpen: async (lookFor, onRun) =>
      await ask('the open runs', async () => await readOpen(deps, { queues, lookFor, onRun })),
    find: async (executionId) =>
      await ask('its runs', async () => {
        for await (const { workflowId, type, runId, closeTime } of temporal.workflow.list({
          query: `RunId = '${executionId.replaceAll("'", '')}'`,
        })) {
          const live = await isLive(temporal, { runId: workflowId, executionId });
          const endedAtMs = live ? undefined : await endOf(temporal, workflowId, executionId);
          const closedAtMs = endedAtMs ?? (live ? undefined : (closeTime?.getTime() ?? 0));
          if (runId === executionId)
            return {
              ...{ runId: workflowId, pipeline: type, live },
              ...(closedAtMs === undefined ? {} : { endedAtMs: closedAtMs }),
            } satisfies KnownRun;
        }
        return undefined;
      }),
    executionOf: async (runId) =>
      await ask(`run "${runId}"`, async () => (await describe(temporal, runId))?.firstRunId),
    isLive: async (run) => await ask(`run "${run.runId}"`, async () => await isLive(temporal, run)),
    payloadReferences: async (onHistory) =>
      await ask('its histories', async () => await readPayloadReferences(deps, queues, onHistory)),
  };
}

async function isLive(
  temporal: Client,
  { runId, executionId }: { readonly runId: string; readonly executionId: string },
): Promise<boolean> {
  const newest = await describe(temporal, runId);
  return newest !== undefined && newest.closeTime === undefined && newest.firstRunId === executionId;
}

/** When the newest execution of a run's chain ended; undefined where the id belongs to a later run by now. */
async function endOf(temporal: Client, runId: string, executionId: string): Promise<number | undefined> {
  const newest = await describe(temporal, runId);
  return newest?.firstRunId === executionId ? newest.closeTime?.getTime() : undefined;
}

async function describe(temporal: Client, runId: string, execution?: string) {
  try {
    const description = await temporal.workflow.getHandle(runId, execution).describe();
    const { raw, closeTime, runId: newest } = description;
    return { raw, closeTime, newest, firstRunId: raw.workflowExecutionInfo?.firstRunId ?? newest };
  } catch (error) {
    if (classifyTemporalError(error) === 'not-found') return undefined;
    throw error;
  }
}

async function readOpen(
  deps: RunSourceDeps,
  asked: {
    readonly queues: string;
    readonly lookFor: readonly string[];
    readonly onRun: (() => void) | undefined;
  },
): Promise<OpenRuns> {
  const { temporal } = deps;
  const found = { executionIds: new Set<string>(), runIds: new Set<string>(), units: new Set<string>() };
  const mentioned = new Set<string>();
  const open = temporal.workflow.list({ query: `${asked.queues} AND ExecutionStatus = 'Running'` });
  await eachOf(open, AT_ONCE, async ({ workflowId, runId }) => {
    found.runIds.add(workflowId);
    const described = await describe(temporal, workflowId);
    if (described === undefined) return;
    const { raw, newest, firstRunId } = described;
    found.executionIds.add(firstRunId);
    const read = (text: string) => {
      for (const reference of referencesIn(text)) found.units.add(reference);
      for (const wanted of asked.lookFor) if (text.includes(wanted)) mentioned.add(wanted);
    };
    read(JSON.stringify(raw));
    // Between the list and the description the run may have continued as new.
    for (const execution of new Set([runId, newest]))
      for (const text of await readTexts(deps, [raw, await readHistory(temporal, workflowId, execution)]))
        read(text);
    asked.onRun?.();
  });
  return { ...found, mentioned };
}

async function readHistory(temporal: Client, workflowId: string, runId: string): Promise<unknown> {
  try {
    return await temporal.workflow.getHandle(workflowId, runId).fetchHistory();
  } catch (error) {
    if (classifyTemporalError(error) === 'not-found') return undefined;
    throw error;
  }
}

/** The payloads below a value, as they travel and as the run sees them. */
async function readTexts({ temporal }: RunSourceDeps, value: unknown): Promise<string[]> {
  const { payloadCodecs } = temporal.options.loadedDataConverter;
  const payloads = payloadsIn(value);
  let decoded: Payload[] = payloads;
  try {
    for (const codec of [...payloadCodecs].reverse()) decoded = await codec.decode(decoded);
  } catch (cause) {
    throw new AnnealError(
      'StoreUnavailable',
      `What an open run refers to could not be read (${cause instanceof Error ? cause.message : String(cause)}), so nothing can be told to be unused. Try again when the store answers; a run that cannot go on for lack of a payload has to be terminated first.`,
      { cause },
    );
  }
  return [...payloads, ...decoded].map(({ data }) => new TextDecoder().decode(data ?? new Uint8Array()));
}

async function readPayloadReferences(
  { temporal }: RunSourceDeps,
  queues: string,
  onHistory: (() => void) | undefined,
): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  const read = (value: unknown) => {
    for (const { data } of payloadsIn(value))
      for (const reference of referencesIn(new TextDecoder().decode(data ?? new Uint8Array())))
        if (reference.startsWith('payloads/')) found.add(reference);
  };
  for await (const { scheduleId } of temporal.schedule.list())
    read((await temporal.schedule.getHandle(scheduleId).describe()).raw);
  await eachOf(temporal.workflow.list({ query: queues }), AT_ONCE, async (execution) => {
    const { workflowId, runId, status } = execution;
    read(await readHistory(temporal, workflowId, runId));
    if (status.name === 'RUNNING') read((await describe(temporal, workflowId, runId))?.raw);
    onHistory?.();
  });
  return found;
}

/** Every payload in an answer of the server, wherever it is: inputs, results, heartbeats, memos, failures. */
function payloadsIn(value: unknown): Payload[] {
  const found: Payload[] = [];
  const waiting: unknown[] = [value];
  while (waiting.length > 0) {
    const next = waiting.pop();
    if (typeof next !== 'object' || next === null || next instanceof Uint8Array) continue;
    if ('data' in next && next.data instanceof Uint8Array) found.push(next as Payload);
    waiting.push(...(Object.values(next) as unknown[]));
  }
  return found;
}
