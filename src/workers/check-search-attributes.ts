import { setTimeout as wait } from 'node:timers/promises';
import { AnnealError } from '../core/failures.js';
import { STATUS_ATTRIBUTE, TAGS_ATTRIBUTE } from '../core/run.js';

/** The part of Temporal's operator service that is asked. */
export interface SearchAttributeDirectory {
  listSearchAttributes(request: { readonly namespace: string }): Promise<{
    readonly customAttributes?: { readonly [name: string]: unknown } | null;
  }>;
}

/** What {@link checkSearchAttributes} takes. */
export interface SearchAttributeCheck {
  readonly namespace: string;
  readonly log: (message: string) => void;
  /** How long a server that has just started may take to register what it was started with. Default 10 s. */
  readonly patienceMs?: number;
}

/** Name, the type as the CLI calls it, and as the server's enum `IndexedValueType` does. */
const ATTRIBUTES = [
  [STATUS_ATTRIBUTE, 'Keyword', 2],
  [TAGS_ATTRIBUTE, 'KeywordList', 7],
] as const;
const PATIENCE_MS = 10_000;
const POLL_MS = 250;

/**
 * Checks that the search attributes of runs exist: without them every run's first task would fail for ever. A server that does not
 * let us ask is only logged.
 * @throws AnnealError InvalidConfig with the commands that make what is missing.
 */
export async function checkSearchAttributes(
  directory: SearchAttributeDirectory,
  { namespace, log, patienceMs = PATIENCE_MS }: SearchAttributeCheck,
): Promise<void> {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    const found = await directory.listSearchAttributes({ namespace }).catch((error: unknown) => {
      log(`could not ask Temporal for its search attributes: ${String(error)}`);
      return undefined;
    });
    if (found === undefined) return;
    const missing = ATTRIBUTES.filter(([name, , type]) => found.customAttributes?.[name] !== type);
    if (missing.length === 0) return;
    if (performance.now() >= deadline) throw describeMissing(missing, namespace);
    await wait(POLL_MS);
  }
}

function describeMissing(
  missing: readonly (readonly [name: string, type: string, value: number])[],
  namespace: string,
): AnnealError {
  const names = missing.map(([name, type]) => `${name} (${type})`).join(' and ');
  const commands = missing.map(
    ([name, type]) =>
      `temporal operator search-attribute create --namespace ${namespace} --name ${name} --type ${type}`,
  );
  return new AnnealError(
    'InvalidConfig',
    `Temporal's namespace "${namespace}" lacks what runs are found by: ${names}. Make it with: ${commands.join(' && ')}`,
  );
}
