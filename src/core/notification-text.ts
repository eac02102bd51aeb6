import type { Notification } from './notifications.js';
import { formatDuration } from './duration.js';
import { shellWord } from './shell-word.js';

/** Bases of links in messages, without slash at the end. */
export interface NoticeLinks {
  readonly temporalUiUrl?: string;
  readonly namespace: string;
  readonly trackingUiUrl?: string;
}

/** A message as every channel shows it, in its own way: what happened, where, what to do, what it printed. */
export interface Notice {
  readonly subject: string;
  readonly text: string;
  readonly facts: readonly { readonly name: string; readonly value: string }[];
  readonly links: readonly { readonly name: string; readonly url: string }[];
  readonly commands: readonly { readonly name: string; readonly command: string }[];
  /** Last lines of the step's output. */
  readonly log: readonly string[];
}

/** What a message says. Control characters are taken out; `redact` takes out secrets. */
export function buildNotice(
  notification: Notification,
  links: NoticeLinks,
  redact: (text: string) => string = (text) => text,
): Notice {
  const clean = (text: string) => redact(withoutControls(text));
  const { step } = notification;
  const written = notification.event === 'message' || notification.event === 'approval';
  return {
    subject: clean(notification.subject).replaceAll(/\s+/g, ' ').slice(0, 300),
    text: clean(notification.text),
    facts: (written ? [] : factsOf(notification)).map(({ name, value }) => ({ name, value: clean(value) })),
    links: notification.event === 'schedule-skipped' ? [] : linksOf(notification, links),
    commands: (written ? [] : commandsOf(notification)).map(({ name, command }) => ({
      name,
      command: clean(command),
    })),
    log: (step?.logTail ?? []).map((line) => clean(line).slice(0, 500)),
  };
}

function factsOf({ event, step, runId, startedAtMs, endedAtMs }: Notification): Notice['facts'] {
  const facts = [];
  if (step !== undefined) {
    const pool = step.pool === undefined ? '' : ` on pool ${step.pool}`;
    facts.push({ name: 'Step', value: `${step.name}, attempt ${step.attempt}${pool}` });
  }
  if (event !== 'schedule-skipped') facts.push({ name: 'Run', value: runId });
  if (startedAtMs !== undefined) {
    const ran =
      endedAtMs === undefined ? '' : `, ran for ${formatDuration(roundMs(endedAtMs - startedAtMs))}`;
    facts.push({ name: 'Started', value: `${new Date(startedAtMs).toISOString()}${ran}` });
  }
  return facts;
}

/** Seconds are enough; a run of less than one took one. */
function roundMs(ms: number): number {
  return Math.max(1, Math.round(ms / 1_000)) * 1_000;
}

function linksOf(
  { runId, tracking }: Notification,
  { temporalUiUrl, trackingUiUrl, namespace }: NoticeLinks,
): Notice['links'] {
  const part = encodeURIComponent;
  const links = [];
  if (temporalUiUrl !== undefined) {
    const url = `${temporalUiUrl}/namespaces/${part(namespace)}/workflows/${part(runId)}`;
    links.push({ name: 'Web UI', url });
  }
  if (trackingUiUrl !== undefined && tracking !== undefined) {
    const { experimentId, runId: run } = tracking;
    links.push({
      name: 'MLflow',
      url: `${trackingUiUrl}/#/experiments/${part(experimentId)}/runs/${part(run)}`,
    });
  }
  return links;
}

function commandsOf({ event, runId, pipeline, step }: Notification): Notice['commands'] {
  const run = shellWord(runId);
  if (event === 'schedule-skipped')
    return [
      { name: 'Look', command: 'npx anneal schedule list' },
      ...(pipeline === undefined
        ? []
        : [{ name: 'Run now', command: `npx anneal schedule trigger ${shellWord(pipeline)}` }]),
    ];
  const commands = [{ name: 'Look', command: `npx anneal describe ${run}` }];
  if (event === 'success' || event === 'recovery') return commands;
  const one = step === undefined ? '' : ` ${shellWord(step.name)}`;
  commands.push({ name: 'Logs', command: `npx anneal logs ${run}${one}` });
  if (event === 'stuck') commands.push({ name: 'End it', command: `npx anneal terminate ${run}` });
  else commands.push({ name: 'Retry', command: `npx anneal retry ${run}` });
  return commands;
}

/** What a terminal, a mail program or a header would act on; tabs and line ends stay. */
function withoutControls(text: string): string {
  return text.replaceAll(/\r\n?/g, '\n').replaceAll(/[^\P{Cc}\n\t]/gu, '');
}

/** The message as plain text. */
export function toPlainText({ text, facts, links, commands, log }: Notice): string {
  const rows = [
    ...facts.map(({ name, value }) => [name, value]),
    ...links.map(({ name, url }) => [name, url]),
    ...commands.map(({ name, command }) => [name, command]),
  ].map(([name = '', value = '']) => `${`${name}:`.padEnd(9)}${value}`);
  const printed =
    log.length === 0 ? [] : ['', 'The last lines that it printed:', '', ...log.map((line) => `  ${line}`)];
  return [text, ...(rows.length === 0 ? [] : ['', ...rows]), ...printed].join('\n');
}

/** The message as HTML; everything in it is text. */
export function toHtml({ text, facts, links, commands, log }: Notice): string {
  const rows = [
    ...facts.map(({ name, value }) => [name, escapeHtml(value)]),
    ...links.map(({ name, url }) => [name, `<a href="${escapeHtml(url)}">${escapeHtml(url)}</a>`]),
    ...commands.map(({ name, command }) => [name, `<code>${escapeHtml(command)}</code>`]),
  ].map(([name = '', value = '']) => `<tr><td><b>${escapeHtml(name)}</b></td><td>${value}</td></tr>`);
  const body = escapeHtml(text).replaceAll('\n', '<br>\n');
  const table = rows.length === 0 ? '' : `<table>\n${rows.join('\n')}\n</table>\n`;
  const printed =
    log.length === 0
      ? ''
      : `<p>The last lines that it printed:</p>\n<pre>${escapeHtml(log.join('\n'))}</pre>\n`;
  return `<p>${body}</p>\n${table}${printed}`;
}

function escapeHtml(text: string): string {
  const names: { readonly [character: string]: string } = {
    '&': 'amp',
    '<': 'lt',
    '>': 'gt',
    '"': 'quot',
    "'": '#39',
  };
  return text.replaceAll(/[&<>"']/g, (character) => `&${names[character] ?? ''};`);
}

/** Characters of one block that Slack takes. */
const BLOCK_LIMIT = 2_900;

/** The message as Slack's mrkdwn, one text for each block. */
export function toMrkdwn({ subject, text, facts, links, commands, log }: Notice): readonly string[] {
  const rows = [
    ...facts.map(({ name, value }) => `*${name}:* ${escapeMrkdwn(value)}`),
    ...links.map(({ name, url }) => `*${name}:* <${escapeMrkdwn(url).replaceAll('|', '%7C')}>`),
    ...commands.map(({ name, command }) => `*${name}:* ${codeSpan(command)}`),
  ];
  return [
    `*${escapeMrkdwn(subject)}*\n${escapeMrkdwn(text)}`.slice(0, BLOCK_LIMIT),
    ...(rows.length === 0 ? [] : [rows.join('\n').slice(0, BLOCK_LIMIT)]),
    ...(log.length === 0 ? [] : [codeBlock(log)]),
  ];
}

/** Slack's three; what else could be markup is only typography. */
function escapeMrkdwn(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

function codeSpan(text: string): string {
  return `\`${escapeMrkdwn(text.replaceAll('`', "'"))}\``;
}

/** The newest lines that fit. */
function codeBlock(lines: readonly string[]): string {
  const escaped = lines.map((line) => escapeMrkdwn(line.replaceAll('```', "'''")));
  while (escaped.length > 1 && escaped.join('\n').length > BLOCK_LIMIT) escaped.shift();
  return `\`\`\`\n${escaped.join('\n').slice(0, BLOCK_LIMIT)}\n\`\`\``;
}
