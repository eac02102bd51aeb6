import type { RegisterOperation } from '../core/registry.js';
import { TAGS } from '../core/registry.js';
import type { ActivityContext } from './ports/activity-context.js';
import { workflowUrl } from './tracking-links.js';

/** Numbers that a description holds at most; the tags of the version have all. */
const SHOWN_METRICS = 10;

/** A new version in words, as Markdown for its page in the registry: what made it, where that can be seen, and what its gate saw. */
export function buildModelDescription(
  { tags, metrics }: Pick<RegisterOperation, 'tags' | 'metrics'>,
  { namespace, temporalUiUrl }: Pick<ActivityContext, 'namespace'> & { readonly temporalUiUrl?: string },
): string {
  const { [TAGS.pipeline]: pipeline, [TAGS.runId]: runId, [TAGS.executionId]: executionId } = tags;
  const lines: string[] = [];
  if (pipeline !== undefined && runId !== undefined)
    lines.push(`Registered by pipeline **${pipeline}**, run \`${runId.replaceAll('`', "'")}\`.`);
  if (temporalUiUrl !== undefined && runId !== undefined && executionId !== undefined)
    lines.push(
      `[Open in Temporal](${workflowUrl(temporalUiUrl, { namespace, workflowId: runId, epoch: executionId })})`,
    );
  const seen = Object.entries(metrics)
    .slice(0, SHOWN_METRICS)
    .map(([name, value]) => `${name} = ${Number(value.toPrecision(5))}`);
  if (seen.length > 0) lines.push(`Metrics: ${seen.join(', ')}.`);
  return lines.join('\n\n');
}
