import type { Lineage, LineageEdge, LineageNode } from '../client/index.js';
import { visible } from './run-text.js';
import type { Colors } from './terminal.js';

/** Lineage as an indented tree: from something to what it was made of, then to what came of it. */
export function renderLineage(lineage: Lineage, colors: Colors): string {
  const nodes = new Map(lineage.nodes.map((node) => [node.id, node]));
  const draw = { nodes, edges: lineage.edges, colors };
  const isRun = lineage.back[0] !== lineage.subjects[0] && lineage.forward[0] !== lineage.subjects[0];
  const heading = isRun ? lineage.subjects.map((id) => describeNode(draw, id)) : [];
  const sections = [
    renderSection(draw, { title: 'Made of', direction: 'back', starts: lineage.back }),
    renderSection(draw, { title: 'Leads to', direction: 'forward', starts: lineage.forward }),
  ];
  const lines = [heading.join('\n'), ...sections, renderMore(lineage), renderNotices(lineage)];
  return lines.filter((text) => text !== '').join('\n\n');
}

interface Drawing {
  readonly nodes: ReadonlyMap<string, LineageNode>;
  readonly edges: readonly LineageEdge[];
  readonly colors: Colors;
}

interface Section {
  readonly title: string;
  readonly direction: 'back' | 'forward';
  readonly starts: readonly string[];
}

function renderSection(draw: Drawing, { title, direction, starts }: Section): string {
  if (starts.length === 0) return '';
  const neighbours = indexEdges(draw.edges, direction);
  const shown = new Set<string>();
  const lines: string[] = [draw.colors.bold(title)];
  // Not a recursion: a chain of thousands of steps has that depth.
  const waiting = starts.map((id) => ({ id, depth: 1, name: '' })).reverse();
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    const { id, depth, name } = next;
    const label = name === '' ? '' : `${visible(name)}: `;
    const above = shown.has(id) ? draw.colors.dim(' (above)') : '';
    lines.push(`${'  '.repeat(Math.min(depth, DEEPEST))}${label}${describeNode(draw, id)}${above}`);
    if (shown.has(id)) continue;
    shown.add(id);
    for (const child of (neighbours.get(id) ?? []).toReversed()) waiting.push({ ...child, depth: depth + 1 });
  }
  return lines.join('\n');
}

/** Levels that are indented; deeper ones are as deep as this. */
const DEEPEST = 40;

function indexEdges(
  edges: readonly LineageEdge[],
  direction: 'back' | 'forward',
): Map<string, { readonly id: string; readonly name: string }[]> {
  const found = new Map<string, { readonly id: string; readonly name: string }[]>();
  for (const { from, to, as, name = '' } of edges) {
    if (as === 'part-of' || (as === 'reused' && direction === 'back')) continue;
    const [at, id] = direction === 'back' ? [to, from] : [from, to];
    // An artifact is called as the step next to it, further from the start, calls it.
    const label =
      as === 'used'
        ? direction === 'back'
          ? name
          : ''
        : as === 'made' && direction === 'forward'
          ? name
          : '';
    found.set(at, [...(found.get(at) ?? []), { id, name: label }]);
  }
  for (const list of found.values())
    list.sort((a, b) => (a.name === b.name ? compare(a.id, b.id) : compare(a.name, b.name)));
  return found;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : 1;
}

function describeNode({ nodes, colors }: Drawing, id: string): string {
  const node = nodes.get(id);
  switch (node?.kind) {
    case undefined:
      return visible(id);
    case 'version': {
      const aliases = node.aliases.length === 0 ? '' : ` (${node.aliases.join(', ')})`;
      const by = node.runId === undefined ? '' : `, registered by run ${node.runId}`;
      return visible(`model ${node.modelName} version ${node.version}${aliases}${by}`);
    }
    case 'artifact':
      return describeArtifact(node);
    case 'step':
      return visible(describeStep(node));
    case 'run':
      return visible(`run ${node.runId}${node.pipeline === '' ? '' : ` of ${node.pipeline}`}`);
    case 'missing':
      return colors.dim(visible(node.reason));
  }
}

function describeArtifact(node: Extract<LineageNode, { kind: 'artifact' }>): string {
  const { artifactKind = 'artifact', digest, sizeBytes, source } = node;
  const size = sizeBytes === undefined ? '' : `, ${sizeBytes} bytes`;
  return visible(`${artifactKind} ${short(digest)}${size}${source === undefined ? '' : `, from ${source}`}`);
}

function describeStep(node: Extract<LineageNode, { kind: 'step' }>): string {
  const { step, runId, attempt, codeDigest, code, image } = node;
  const commit = code && `commit ${short(code.commit)}${code.dirty === true ? ' with changes' : ''}`;
  const parts = [
    `step ${step} of run ${runId}`,
    ...(attempt > 1 ? [`attempt ${attempt}`] : []),
    `code ${short(codeDigest)}`,
    ...(commit === undefined ? [] : [commit]),
    ...(image === undefined ? [] : [`image ${image}`]),
  ];
  return parts.join(', ');
}

function short(digest: string): string {
  return digest.slice(0, 12);
}

function renderMore({ more }: Lineage): string {
  return more
    .map(({ id, next }) =>
      next === undefined
        ? `More than is shown belongs to ${visible(id)}. Ask of it, or raise --limit.`
        : `More than is shown belongs to ${visible(id)}. Go on with: anneal lineage ${visible(id)} --after ${visible(next)}`,
    )
    .slice(0, SHOWN_HINTS)
    .join('\n');
}

/** Of places to go on from. */
const SHOWN_HINTS = 5;

function renderNotices({ notices }: Lineage): string {
  return notices.map((notice) => `Note: ${visible(notice)}`).join('\n');
}
