import { parentPort, workerData } from 'node:worker_threads';

import { readParquetTable } from './parquet-table.js';

// A thread of its own, which is ended when it takes too long or too much: what a file claims of itself is not to be believed.
const { file } = workerData as { readonly file: string };
const port = parentPort;
readParquetTable(file).then(
  (table) => port?.postMessage({ table }),
  (error: unknown) => port?.postMessage({ why: error instanceof Error ? error.message : String(error) }),
);
