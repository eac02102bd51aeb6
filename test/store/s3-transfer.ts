import { createS3Store } from '../../src/adapters/s3-store/create-s3-store.js';
import type { S3StoreOptions } from '../../src/adapters/s3-store/create-s3-store.js';

/** A program that stores a file and fetches it, and says how much memory it took at most. */
const [given = '{}', source = '', target = ''] = process.argv.slice(2);
const store = createS3Store(JSON.parse(given) as S3StoreOptions);
const startedAt = performance.now();
const entry = await store.putFile('large', source);
const storedAt = performance.now();
await store.fetchFile('large', target);
const seconds = [storedAt - startedAt, performance.now() - storedAt].map((ms) => Math.round(ms / 100) / 10);
process.stdout.write(JSON.stringify({ ...entry, peakBytes: process.resourceUsage().maxRSS * 1024, seconds }));
