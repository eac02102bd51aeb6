import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

import type { Client } from '@temporalio/client';

import { isOpen } from '../../../src/client/index.js';
import type { AnnealClient, RunReport } from '../../../src/client/index.js';
import { until } from './until.js';

/** One line of the ledger that the steps themselves keep. */
export interface LedgerEntry {
  readonly event: 'start' | 'end';
  readonly step: string;
  readonly attempt: number;
  readonly pid: number;
  /** Units of work behind it: at a start, those of the checkpoint. */
  readonly units: number;
}

/** The activity of a running step, as the server sees it. */
export interface PendingStep {
  readonly step: string;
  /** From 1; more than 1 when a worker was lost. */
  readonly deliveries: number;
  readonly adopted: boolean;
  readonly worker: string;
}

/** A run of pipeline `training` that trains until `finish`. */
export interface FaultRun {
  readonly runId: string;
  readonly modelName: string;
  ledger(): Promise<readonly LedgerEntry[]>;
  /** Starts of a step, one per execution. */
  starts(step: string): Promise<readonly LedgerEntry[]>;
  /** Waits until attempt `attempt` of the training has stored a checkpoint; answers with its start. */
  training(attempt?: number): Promise<LedgerEntry>;
  /** Units in the newest checkpoint that is safe in the store. */
  storedUnits(): Promise<number>;
  pending(): Promise<readonly PendingStep[]>;
  /** Waits until another delivery of the training's activity has adopted the attempt. */
  adopted(): Promise<PendingStep>;
  finish(): Promise<void>;
  ended(): Promise<RunReport>;
}

/** What a run is watched with. */
export interface FaultRunDeps {
  readonly client: AnnealClient;
  readonly temporal: Client;
  readonly storeDir: string;
}

/** A handle for a run whose steps keep their ledger in `control`. */
export function followFaultRun(
  deps: FaultRunDeps,
  run: {
    readonly runId: string;
    readonly executionId: string;
    readonly modelName: string;
    readonly control: string;
  },
): FaultRun {
  const { runId, executionId, modelName, control } = run;
  const ledger = async () => await readLedger(path.join(control, 'ledger.jsonl'));
  const starts = async (step: string) =>
    (await ledger()).filter((entry) => entry.event === 'start' && entry.step === step);
  const pending = async () => await readPending(deps.temporal, runId);
  const storedUnits = async () => await readStoredUnits(path.join(deps.storeDir, 'runs', executionId));
  return {
    runId,
    modelName,
    ledger,
    starts,
    pending,
    storedUnits,
    training: async (attempt = 1) =>
      await until(`attempt ${attempt} of the training of ${runId} has a checkpoint`, async () => {
        const start = (await starts('train')).find((entry) => entry.attempt === attempt);
        return start !== undefined && (await storedUnits()) > start.units ? start : undefined;
      }),
    adopted: async () =>
      await until(`the training of ${runId} is adopted`, async () =>
        (await pending()).find((one) => one.step === 'train' && one.deliveries > 1 && one.adopted),
      ),
    finish: async () => {
      await mkdir(control, { recursive: true });
      await writeFile(path.join(control, 'finish'), '');
    },
    ended: async () =>
      await until(`${runId} has ended`, async () => {
        const report = await deps.client.status(runId);
        if (isOpen(report.state)) throw new Error(`It is ${JSON.stringify(report.calls)}.`);
        return report;
      }),
  };
}

async function readLedger(file: string): Promise<LedgerEntry[]> {
  if (!existsSync(file)) return [];
  const lines = (await readFile(file, 'utf8')).split('\n').filter((line) => line !== '');
  return lines.map((line) => JSON.parse(line) as LedgerEntry);
}

/** The records of checkpoints are written after their files. */
async function readStoredUnits(executionDir: string): Promise<number> {
  const names = await readdir(path.join(executionDir, 'checkpoints'), { recursive: true }).catch(() => []);
  const units = names.map((name) => Number(/-unit-(\d+)\/checkpoint\.json$/.exec(name)?.[1] ?? 0));
  return Math.max(0, ...units);
}

async function readPending(temporal: Client, runId: string): Promise<PendingStep[]> {
  const { raw } = await temporal.workflow.getHandle(runId).describe();
  return (raw.pendingActivities ?? []).flatMap((activity) => {
    const data = activity.heartbeatDetails?.payloads?.[0]?.data;
    if (!data) return [];
    const beat = JSON.parse(Buffer.from(data).toString('utf8')) as { attempt?: string; adopted?: boolean };
    const step = /^(.*)-[a-z0-9]+-a\d+$/.exec(beat.attempt ?? '')?.[1] ?? '';
    const { attempt, lastWorkerIdentity } = activity;
    const deliveries = attempt ?? 1;
    return [{ step, deliveries, adopted: beat.adopted === true, worker: lastWorkerIdentity ?? '' }];
  });
}
