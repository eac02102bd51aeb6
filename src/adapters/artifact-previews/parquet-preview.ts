import { Worker } from 'node:worker_threads';
import type { TablePreview } from '../../core/artifact-preview.js';

/** The compiled program of the thread. */
const WORKER = new URL('./parquet-worker.js', import.meta.url);
/** Time and memory that a file may take. */
const LIMIT_MS = 3_000;
const RESOURCES = { maxOldGenerationSizeMb: 128, maxYoungGenerationSizeMb: 16, stackSizeMb: 4 };

/** What tests change. */
export interface ParquetOptions {
  readonly program?: URL;
  readonly limitMs?: number;
}

/** A Parquet file as a table. @throws Error that says why it cannot be shown. */
export async function previewParquet(
  file: string,
  { program = WORKER, limitMs = LIMIT_MS }: ParquetOptions = {},
): Promise<TablePreview> {
  const worker = new Worker(program, {
    workerData: { file },
    resourceLimits: RESOURCES,
    env: {},
  });
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise<TablePreview>((resolve, reject) => {
      timer = setTimeout(
        () => reject(new Error(`it took longer than ${limitMs / 1_000} s to read`)),
        limitMs,
      );
      worker.once('message', (said: { readonly table?: TablePreview; readonly why?: string }) => {
        if (said.table) resolve(said.table);
        else reject(new Error(said.why ?? 'it cannot be read'));
      });
      worker.once('error', reject);
      worker.once('exit', () => reject(new Error('it took too much memory to read')));
    });
  } finally {
    clearTimeout(timer);
    await worker.terminate();
  }
}
