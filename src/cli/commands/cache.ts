import type { CachedResult, CacheExplanation, CacheFilter } from '../../client/index.js';
import type { PartChange } from '../../core/cache.js';
import type { Command, CommandOptions } from '../command.js';
import { renderTable } from '../plain-table.js';
import { EXIT } from '../report-error.js';
import { visible } from '../run-text.js';
import { toSize } from '../size-text.js';
import type { Colors } from '../terminal.js';

/** `anneal cache why RUN STEP`: names the component of the key that made a step run again. */
export const why: Command = async (context, [runId = '', step = '']) => {
  const client = await (await context.openProject()).client();
  const explanations = await client.cache.why(runId, step);
  const { terminal } = context;
  terminal.show(explanations, () =>
    explanations.map((explanation) => renderExplanation(explanation, terminal.colors)).join('\n'),
  );
  return EXIT.ok;
};

/** `anneal cache list`: results that later runs may reuse. */
export const list: Command = async (context, _args, options) => {
  const client = await (await context.openProject()).client();
  const results = await client.cache.list(readFilter(options));
  context.terminal.show(results, () =>
    results.length === 0 ? 'The cache holds no results.' : renderResults(results),
  );
  return EXIT.ok;
};

/** `anneal cache clear`: takes results out of the cache. */
export const clear: Command = async (context, _args, options) => {
  const client = await (await context.openProject()).client();
  const dryRun = options.dryRun === true;
  const results = await client.cache.clear(readFilter(options), { dryRun });
  context.terminal.show(results, () => {
    if (results.length === 0) return 'The cache holds no such results.';
    const count = `${results.length} ${results.length === 1 ? 'result' : 'results'}`;
    const said = dryRun
      ? `${count} would be taken out of the cache.`
      : `Took ${count} out of the cache; the files stay in the store.`;
    return `${renderResults(results)}\n${said}`;
  });
  return EXIT.ok;
};

function readFilter({ pipeline, step }: CommandOptions): CacheFilter {
  return {
    ...(pipeline === undefined ? {} : { pipeline }),
    ...(step === undefined ? {} : { step }),
  };
}

const WORDS = { hit: 'hit', miss: 'miss', none: 'not asked' } as const;

function renderExplanation(
  { call, verdict, reason, nearest, changes = [] }: CacheExplanation,
  colors: Colors,
): string {
  const word = verdict === 'hit' ? colors.green(WORDS.hit) : WORDS[verdict];
  const made = nearest === undefined ? '' : `, made ${toTime(nearest.storedAtMs)}`;
  const end = changes.length === 0 ? '' : ', in:';
  const lines = changes.map((change) => `    ${renderChange(change)}`);
  return [`${call}: ${word}`, `  ${visible(reason)}${made}${end}`, ...lines].join('\n');
}

function renderChange({ part, before, now }: PartChange): string {
  const name = visible(part);
  if (before === undefined) return `${name}  is new: ${visible(now ?? '')}`;
  if (now === undefined) return `${name}  is gone: it was ${visible(before)}`;
  return `${name}  was ${visible(before)}, is ${visible(now)}`;
}

function renderResults(results: readonly CachedResult[]): string {
  const rows = results.map(({ step, key, storedAtMs, sizeBytes, runId }) => [
    step,
    key.slice(0, 12),
    toTime(storedAtMs),
    toSize(sizeBytes),
    runId,
  ]);
  return renderTable(['STEP', 'KEY', 'MADE', 'SIZE', 'RUN'], rows);
}

function toTime(ms: number): string {
  return new Date(ms).toISOString().slice(0, 19).replace('T', ' ');
}
