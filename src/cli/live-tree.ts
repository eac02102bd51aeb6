import type { CallStatus, RunStatus } from '../core/run.js';
import { renderCall, renderFailure, renderRunTree, visible } from './run-text.js';
import type { Terminal } from './terminal.js';

/** Shows a run while it goes on. */
export interface LiveTree {
  update(status: RunStatus): void;
  /** A line of its own, above the tree. */
  say(text: string): void;
  /** Draws for the last time and lets the terminal go. */
  stop(): void;
}

const TICK_MS = 1_000;

/** On a terminal a tree that is redrawn; else one line for every change. */
export function createLiveTree(terminal: Terminal, nowMs: () => number): LiveTree {
  return terminal.interactive ? createRedrawnTree(terminal, nowMs) : createChangeLog(terminal, nowMs);
}

function createRedrawnTree(terminal: Terminal, nowMs: () => number): LiveTree {
  let status: RunStatus | undefined;
  let drawn = 0;
  const erase = () => {
    if (drawn > 0) terminal.write(`\u001b[${drawn}A\u001b[0J`);
    drawn = 0;
  };
  const draw = (whole = false) => {
    if (!status) return;
    const { columns, rows, colors } = terminal;
    const maxCalls = whole ? Infinity : Math.max(3, rows - 6);
    // What stays on the screen is not cut.
    const width = whole ? Infinity : columns;
    const tree = renderRunTree(status, { nowMs: nowMs(), columns: width, colors, maxCalls }).map((line) =>
      terminal.asCalled(line),
    );
    const lines = whole ? tree : fitRows(tree, { columns, rows: Math.max(4, rows - 2) });
    erase();
    terminal.write(`${lines.join('\n')}\n`);
    drawn = whole ? 0 : countRows(lines, columns);
  };
  const timer = setInterval(draw, TICK_MS);
  timer.unref();
  return {
    update: (next) => {
      status = next;
      draw();
    },
    say: (text) => {
      erase();
      terminal.write(`${terminal.asCalled(text)}\n`);
      draw();
    },
    stop: () => {
      clearInterval(timer);
      draw(true);
      status = undefined;
    },
  };
}

/** The lines that fit: a tree that is higher than the screen could not be erased. */
function fitRows(lines: readonly string[], screen: { readonly columns: number; readonly rows: number }) {
  const { columns, rows } = screen;
  let end = 0;
  while (end < lines.length && countRows(lines.slice(0, end + 1), columns) <= rows) end += 1;
  return lines.slice(0, end);
}

/** Rows of the screen: a line that is longer than the screen is wide takes several. */
function countRows(lines: readonly string[], columns: number): number {
  return lines.reduce((rows, line) => rows + Math.max(1, Math.ceil(visible(line).length / columns)), 0);
}

function createChangeLog(terminal: Terminal, nowMs: () => number): LiveTree {
  const seen = new Map<string, string>();
  let state: string | undefined;
  const { colors } = terminal;
  return {
    update: (status) => {
      if (status.state !== state) terminal.line(`${status.runId}: ${status.state}`);
      state = status.state;
      for (const call of status.calls) {
        const key = changeKey(call);
        if (seen.get(call.id) === key) continue;
        seen.set(call.id, key);
        const word = call.state === 'cached' ? '' : `  ${call.state}`;
        terminal.line(`${renderCall(call, { nowMs: nowMs(), colors, nameWidth: 0 })}${word}`);
        for (const line of renderFailure(call, colors)) terminal.line(line);
      }
    },
    say: (text) => terminal.line(text),
    stop: () => undefined,
  };
}

function changeKey({ state, attempt, failure }: CallStatus): string {
  return `${state}/${attempt}/${failure?.message ?? ''}`;
}
