import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Payload, PayloadCodec } from '@temporalio/common';
import { historyFromJSON, historyToJSON, type History } from '@temporalio/common/lib/proto-utils.js';
import { digestOfText } from '../core/digest.js';
import { AnnealError } from '../core/failures.js';
import { readHistory } from './history-shape.js';
import type { NamedHistory } from './replay-histories.js';

/**
 * Histories in the JSON files of a directory, by name: as {@link saveHistory} and `temporal workflow show --output json` write them.
 * @throws AnnealError InvalidInput where there is none, or one is no history.
 */
export async function readHistories(directory: string): Promise<NamedHistory[]> {
  const files = await readdir(directory).catch(() => []);
  const names = files.filter((file) => file.endsWith('.json')).sort();
  if (names.length === 0)
    throw new AnnealError(
      'InvalidInput',
      `There is no history in ${directory}. Record some with: anneal replay --save ${directory}`,
    );
  return await Promise.all(names.map(async (name) => await readOne(directory, name)));
}

async function readOne(directory: string, file: string): Promise<NamedHistory> {
  try {
    const history = historyFromJSON(JSON.parse(await readFile(path.join(directory, file), 'utf8')));
    if (!history.events?.[0]?.workflowExecutionStartedEventAttributes)
      throw new Error('its first event does not start a workflow');
    return { name: file.replace(/\.json$/, ''), history };
  } catch (cause) {
    const said = cause instanceof Error ? cause.message : String(cause);
    throw new AnnealError('InvalidInput', `${path.join(directory, file)} is no history of a run: ${said}`, {
      cause,
    });
  }
}

/** Writes a history as a file named after its shape, with everything in it that it refers to in the store. @returns the file's name. */
export async function saveHistory(
  directory: string,
  history: History,
  codecs: readonly PayloadCodec[],
): Promise<string> {
  const { shape, pipeline } = readHistory(history);
  const slug = shape.replace(/[^A-Za-z0-9]+/g, '-').replace(/^-+|-+$/g, '');
  const name = slug.length <= NAME_LIMIT ? slug : `${pipeline}-${digestOfText(shape).slice(0, 12)}`;
  await mkdir(directory, { recursive: true });
  await inline(history, codecs);
  const text = JSON.stringify(withoutMachine(JSON.parse(historyToJSON(history))));
  await writeFile(path.join(directory, `${name}.json`), `${text}\n`);
  return `${name}.json`;
}

const NAME_LIMIT = 120;

/** Puts large payloads, which travel by reference, into the history itself: a test has no store. */
async function inline(value: unknown, codecs: readonly PayloadCodec[]): Promise<void> {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return;
  for (const member of Object.values(value)) {
    if (isPayload(member)) {
      let [payload]: Payload[] = [member];
      for (const codec of codecs.toReversed()) if (payload) [payload] = await codec.decode([payload]);
      if (payload) Object.assign(member, payload);
    } else await inline(member, codecs);
  }
}

function isPayload(value: unknown): value is Payload {
  return (
    typeof value === 'object' &&
    value !== null &&
    'data' in value &&
    value.data instanceof Uint8Array &&
    'metadata' in value
  );
}

/** Who ran it and where says nothing about what ran. */
function withoutMachine(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutMachine);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([name]) => name !== 'stackTrace');
  return Object.fromEntries(
    entries.map(([name, member]) => [name, name === 'identity' ? 'recorded' : withoutMachine(member)]),
  );
}
