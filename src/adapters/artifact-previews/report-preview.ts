import type { ReportPreview } from '../../core/artifact-preview.js';
import { clip } from './fit-preview.js';

/** A report by its beginning; `undefined` where it is neither HTML nor Markdown. */
export function previewReport(of: {
  readonly head: string;
  readonly name: string;
  readonly sizeBytes: number;
}): ReportPreview | undefined {
  const { head, name, sizeBytes } = of;
  if (/\.html?$/i.test(name) || HTML.test(head))
    return { ...titled(htmlTitle(head)), type: 'report', format: 'html', sizeBytes };
  const heading = /^#{1,3} +(.{1,300})/m.exec(head)?.[1];
  if (/\.(md|markdown)$/i.test(name) || heading !== undefined)
    return { ...titled(heading), type: 'report', format: 'markdown', sizeBytes };
  return undefined;
}

const HTML = /^\s*(<!doctype html|<html|<head|<body|<\?xml)/i;

function htmlTitle(head: string): string | undefined {
  const found = /<title[^>]{0,200}>([^<]{0,500})/i.exec(head) ?? /<h1[^>]{0,200}>([^<]{0,500})/i.exec(head);
  return found?.[1]?.replace(/&(amp|lt|gt|quot|#39);/g, (entity) => ENTITIES[entity] ?? entity);
}

const ENTITIES: { readonly [entity: string]: string } = {
  '&amp;': '&',
  '&lt;': '<',
  '&gt;': '>',
  '&quot;': '"',
  '&#39;': "'",
};

function titled(title: string | undefined): { readonly title?: string } {
  return title === undefined || title.trim() === '' ? {} : { title: clip(title, 200) };
}
