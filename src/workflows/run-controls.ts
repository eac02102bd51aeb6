import { defineQuery, defineUpdate, setHandler } from '@temporalio/workflow';
import type { Journal } from '../core/journal.js';
import {
  JOURNAL_QUERY,
  PAUSE_RUN,
  problemOfChange,
  problemOfControl,
  RESUME_RUN,
  SET_STEP,
  type CarriedControls,
  type ControlRequest,
  type Paused,
  type StepChange,
  type StepSettings,
} from '../core/run-control.js';
import { toFailure } from './failures.js';

/** The parts of a run that operators steer. */
export interface Controlled {
  /** Called when the run may start something again. */
  readonly resumed: () => void;
  /** Called when what is shown has changed. */
  readonly changed: (controls: RunControls) => void;
  readonly pools: () => readonly string[];
  readonly journal: () => Journal | undefined;
}

/** Pausing, and settings of steps that differ from the code. */
export class RunControls {
  private now: Paused | undefined;
  private readonly changes: Map<string, StepSettings>;

  constructor(carried: CarriedControls | undefined) {
    this.now = carried?.paused;
    this.changes = new Map(Object.entries(carried?.changes ?? {}));
  }

  /** Present while nothing new may start. */
  get paused(): Paused | undefined {
    return this.now;
  }

  /** What a call's next attempt gets instead of what the code says: what was set for its own name beats what was for its step's. */
  settingsOf(step: string, call: string): StepSettings {
    return { ...this.changes.get(step), ...this.changes.get(call) };
  }

  carried(): CarriedControls {
    return {
      ...(this.now === undefined ? {} : { paused: this.now }),
      changes: Object.fromEntries(this.changes),
    };
  }

  /** Takes the updates of operators. */
  handle(run: Controlled): void {
    setHandler(defineQuery<Journal | null>(JOURNAL_QUERY), () => run.journal() ?? null, {
      description: 'Every answer that the code of the run got',
    });
    setHandler(
      defineUpdate<string, [ControlRequest]>(PAUSE_RUN),
      (request) => {
        if (this.now) return `paused by ${this.now.by} before`;
        this.now = { ...request, atMs: Date.now() };
        run.changed(this);
        return 'paused';
      },
      {
        description: 'Start nothing new; what runs goes on to its end: {"by","reason"?}',
        validator: (request) => refuse(problemOfControl(request)),
      },
    );
    setHandler(
      defineUpdate<string, [ControlRequest]>(RESUME_RUN),
      () => {
        if (!this.now) return 'was not paused';
        this.now = undefined;
        run.changed(this);
        run.resumed();
        return 'resumed';
      },
      {
        description: 'Go on after a pause: {"by"}',
        validator: (request) => refuse(problemOfControl(request)),
      },
    );
    setHandler(
      defineUpdate<StepSettings, [StepChange]>(SET_STEP),
      ({ step, timeout, memory, pool }) => {
        const settings = {
          ...this.changes.get(step),
          ...(timeout === undefined ? {} : { timeout }),
          ...(memory === undefined ? {} : { memory }),
          ...(pool === undefined ? {} : { pool }),
        };
        this.changes.set(step, settings);
        run.changed(this);
        return settings;
      },
      {
        description: 'Settings of a step\'s next attempts: {"step","by","timeout"?,"memory"?,"pool"?}',
        validator: (change) => refuse(problemOfChange(change, run.pools())),
      },
    );
  }
}

function refuse(problem: string | undefined): void {
  if (problem !== undefined) throw toFailure('InvalidInput', problem);
}
