import type { ArtifactStore } from '../../../src/core/artifact-store.js';
import { until } from './until.js';

/**
 * The messages of a run, as the store keeps them, when there is one: they are delivered beside the run. How each channel took a message
 * is in a folder below it and is not read.
 */
export async function recordedMessages(
  store: Pick<ArtifactStore, 'list' | 'readBytes'>,
  executionId: string,
): Promise<readonly string[]> {
  const folder = `runs/${executionId}/notifications/`;
  return await until('a message is recorded', async () => {
    const messages: string[] = [];
    for await (const { key } of store.list(folder))
      if (!key.slice(folder.length).includes('/'))
        messages.push(Buffer.from((await store.readBytes(key)) ?? []).toString());
    return messages.length > 0 && messages;
  });
}
