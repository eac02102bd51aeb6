import type { ApplicationFailure } from '@temporalio/workflow';
import { defineUpdate, proxyActivities, setHandler } from '@temporalio/workflow';
import type { PoolActivities } from '../core/activities.js';
import type { AttemptRequest } from '../core/attempt.js';
import type { Pool } from '../core/pools.js';
import type { StepDefinition } from '../core/step.js';
import { parseDuration } from '../core/duration.js';
import {
  checkCommand,
  COMMAND_STEP,
  problemOfRequest,
  SHOWN_COMMANDS,
  type CommandAnswer,
  type CommandRequest,
  type TakenCommand,
} from '../core/step-command.js';
import { toFailure } from './failures.js';

/** An attempt that is in flight, of a step that takes commands. */
interface LiveAttempt {
  /** Its step plan, as far as it matters here. */
  readonly plan: {
    readonly name: string;
    readonly pool: Pick<Pool, 'controlQueue'>;
    readonly request: { readonly definition: Pick<StepDefinition, 'commands'> };
  };
  readonly request: AttemptRequest;
}

/** Commands of people to steps that run. */
export class StepCommands {
  /** By call. */
  private readonly running = new Map<string, LiveAttempt>();
  private taken: readonly TakenCommand[];
  /** Commands whose answer is waited for, by id. */
  private readonly pending = new Map<string, Promise<CommandAnswer>>();

  constructor(carried: readonly TakenCommand[] | undefined) {
    this.taken = carried ?? [];
  }

  /** The newest commands, for the status and the next execution. */
  get shown(): readonly TakenCommand[] {
    return this.taken;
  }

  /** An attempt begins; answers with what says that it has ended. */
  began(callId: string, attempt: LiveAttempt): () => void {
    if (attempt.request.takesCommands !== true) return () => undefined;
    this.running.set(callId, attempt);
    return () => void this.running.delete(callId);
  }

  /** Takes the update. */
  handle(): void {
    setHandler(
      defineUpdate<CommandAnswer, [CommandRequest]>(COMMAND_STEP),
      async (request) => await this.carryOut(request),
      {
        description: 'Send a command to a running step: {"step","command","parameters"?,"by","id"}',
        validator: (request) => {
          const problem = problemOfRequest(request) ?? this.refusal(request);
          if (problem !== undefined) throw toFailure('InvalidInput', problem);
        },
      },
    );
  }

  private refusal(request: CommandRequest): string | undefined {
    if (this.answered(request.id) || this.pending.has(request.id)) return undefined;
    const { step } = request;
    const found = this.attemptsOf(step);
    const [one] = found;
    if (!one)
      return `No attempt of a step "${step}" that takes commands runs in this run${this.running.size === 0 ? '' : `; these do: ${[...this.running.values()].map(({ plan }) => `"${plan.name}"`).join(', ')}`}.`;
    if (found.length > 1)
      return `${found.length} calls of "${step}" run, and a command is for one. Give the calls names of their own (the option "name" of the call), or wait until one is left.`;
    const checked = checkCommand(step, one.plan.request.definition.commands ?? [], request);
    return checked.ok ? undefined : checked.problem;
  }

  private attemptsOf(step: string): LiveAttempt[] {
    const all = [...this.running.values()];
    const named = all.filter(({ plan }) => plan.name === step);
    return named.length > 0 ? named : all.filter(({ request }) => request.step === step);
  }

  private answered(id: string): CommandAnswer | undefined {
    return this.taken.find((command) => command.id === id)?.answer;
  }

  private async carryOut(request: CommandRequest): Promise<CommandAnswer> {
    const before = this.answered(request.id);
    if (before) return before;
    const pending = this.pending.get(request.id) ?? this.send(request);
    this.pending.set(request.id, pending);
    try {
      return await pending;
    } finally {
      this.pending.delete(request.id);
    }
  }

  private async send(request: CommandRequest): Promise<CommandAnswer> {
    const { id, by, step } = request;
    // It may have ended since the validator saw it.
    const [attempt] = this.attemptsOf(step);
    if (!attempt) throw refused(step);
    const { plan, request: running } = attempt;
    const checked = checkCommand(step, plan.request.definition.commands ?? [], request);
    if (!checked.ok) throw toFailure('InvalidInput', checked.problem);
    const { definition, values } = checked;
    const answerWithinMs = parseDuration(definition.answerWithin);
    const { commandAttempt } = proxyActivities<PoolActivities>({
      taskQueue: plan.pool.controlQueue,
      startToCloseTimeout: answerWithinMs + 20_000,
      scheduleToCloseTimeout: answerWithinMs + 60_000,
      retry: { initialInterval: '500ms', maximumAttempts: 3 },
      summary: `command ${request.command} to ${plan.name}`,
    });
    const { signal } = definition;
    const command = {
      ...{ id, by, command: request.command, parameters: values, atMs: Date.now() },
      ...(signal === undefined ? {} : { signal }),
    };
    const { project, index, pool, executionId, callId } = running;
    const of = { project, step: running.step, index, attempt: running.attempt, pool, executionId, callId };
    const answer = await commandAttempt({ attempt: of, command, answerWithinMs });
    if (answer.state === 'ended') throw refused(step);
    const { signal: _signal, ...said } = command;
    const entry: TakenCommand = { ...said, step: plan.name, attempt: running.attempt, answer };
    this.taken = [...this.taken, entry].slice(-SHOWN_COMMANDS);
    return answer;
  }
}

function refused(step: string): ApplicationFailure {
  return toFailure('InvalidInput', `The attempt of "${step}" has ended; nothing was delivered.`);
}
