import { CancellationScope, CancelledFailure, isCancellation, workflowInfo } from '@temporalio/workflow';
import type { RunSnapshot } from '../core/activities.js';
import { callIdOf, type CallKey, type JournalEntry } from '../core/journal.js';
import type { RetrySeed } from '../core/run-control.js';
import { mustContinue, wantsToContinue, type Continuation } from './continuation.js';
import { fromJournalFailure, toJournalFailure } from './failures.js';
import { createRest } from './at-rest.js';
import { JournalPlayer } from './journal-player.js';
import { adopt } from './adopt-answer.js';
import type { CallIdentity, LiveCall } from './live-call.js';
import { createPlaces } from './places.js';
import type { RunBudget } from './run-budget.js';
import type { RunControls } from './run-controls.js';
import type { StepCommands } from './step-commands.js';
import type { RunView } from './run-state.js';
import { createStartLine } from './start-line.js';
import { createTurns } from './turns.js';

/** How a call is answered. */
interface Answer<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (error: Error) => void;
  /** Lets another call start. */
  readonly leave?: () => void;
}

/** Activities, children and the like that one run has in flight at most; Temporal takes 2,000, and 4 MB of them at once. */
const IN_FLIGHT_LIMIT = 500;
/** Step calls at once that have been started and have no place in flight yet. The rest of a large fan-out waits before it costs anything. */
const STARTING_LIMIT = 100;
/** Look-ups in the cache at once. A worker handles the local activities of a run in one go; from some hundred on that kills it. */
const LOOK_UP_LIMIT = 100;
/** Waits for results of other calls at once: each holds a place of a pipelines worker, where tasks run too. */
const CLAIM_WAIT_LIMIT = 50;

/** What an execution of a run begins with. */
export interface RunBeginning {
  readonly continuation: Continuation | undefined;
  readonly controls: RunControls;
  readonly commands: StepCommands;
  readonly budget: RunBudget;
  readonly seed: RetrySeed | undefined;
  /** Looks up anew what the run's build and its host have. */
  readonly retake: (before: RunSnapshot) => Promise<RunSnapshot>;
}

/** One execution of a run: its journal, what is in flight, and when it continues as new. */
export class RunContext {
  readonly player: JournalPlayer;
  readonly view: RunView;
  /** Pools and code of the build that the run is on. */
  snapshot: RunSnapshot;
  private readonly retake: RunBeginning['retake'];
  private retaking: Promise<void> | undefined;
  /** Steps of which something was said that is said once. */
  readonly said = new Set<string>();
  private readonly startLine = createStartLine(STARTING_LIMIT);
  readonly lookUps = createTurns(LOOK_UP_LIMIT);
  readonly claimWaits = createTurns(CLAIM_WAIT_LIMIT);
  readonly runId = workflowInfo().workflowId;
  private continueRun: () => void = () => undefined;
  private readonly rootScope = CancellationScope.current();
  private readonly dispatched = new Map<string, number>();
  private readonly rest = createRest(() => this.view.drawChanges());
  private readonly inFlight = createPlaces(IN_FLIGHT_LIMIT, () => this.mustWait());
  private live = 0;
  private continued = false;
  readonly controls: RunControls;
  readonly commands: StepCommands;
  readonly budget: RunBudget;
  readonly seed: RetrySeed | undefined;
  /** Finished work of another run, by key. */
  private readonly adopted: ReadonlyMap<CallKey, JournalEntry>;

  constructor(
    view: RunView,
    snapshot: RunSnapshot,
    { continuation, controls, commands, budget, seed, retake }: RunBeginning,
  ) {
    this.view = view;
    this.snapshot = snapshot;
    this.retake = retake;
    this.controls = controls;
    this.commands = commands;
    this.budget = budget;
    this.seed = seed;
    this.adopted = new Map(seed?.entries.map((entry) => [entry.k, entry]));
    this.player = new JournalPlayer(
      continuation?.journal ?? { version: 1, entries: [], pending: {} },
      () => this.continueIfQuiet(wantsToContinue(snapshot)),
      (then) => {
        // With all that settles in this task settled, nothing may be in flight: the moment to continue as new.
        if (wantsToContinue(snapshot)) this.rest.disturb();
        this.rest.reached(then);
      },
    );
  }

  /** Calls back when the run is to continue as new; nothing is in flight then and nothing more is delivered. */
  onContinue(then: () => void): void {
    this.continueRun = then;
    if (this.continued) then();
  }

  /** Calls that have been made and have not settled. */
  get liveCalls(): number {
    return this.live;
  }

  /** Resolves when everything that could move by itself has moved. */
  settled(): Promise<void> {
    return new Promise((resolve) => this.rest.reached(resolve));
  }

  /** Calls back when everything that moves now has moved. */
  whenAtRest(then: () => void): void {
    this.rest.disturb();
    this.rest.reached(then);
  }

  /** Resolves when the answer of a local activity may be acted on: such answers are taken one at a time. */
  localTurn(): Promise<void> {
    return new Promise((resolve) => this.rest.reachedLast(resolve));
  }

  /** Makes a call, or answers it from the journal in its turn. */
  call<T>(identity: CallIdentity, work: (call: LiveCall) => Promise<T>): Promise<T> {
    this.rest.disturb();
    const key = this.player.keyOf(identity.kind, identity.name, identity.input);
    const recorded = this.player.recordedEntry(key);
    if (recorded) return this.answerInTurn<T>(recorded);
    return new Promise((resolve, reject) => {
      const start = (leave?: () => void) =>
        this.callLive({ ...identity, key }, work, { resolve, reject, ...(leave && { leave }) });
      const make = identity.kind === 'step' ? () => this.startLine.enter(start) : () => start();
      if (this.player.isLive()) make();
      else this.player.live().then(make).catch(reject);
    });
  }

  /** Answers at once, from the journal or by `produce`. */
  callNow<T>(identity: CallIdentity, produce: () => T): T {
    this.rest.disturb();
    const key = this.player.keyOf(identity.kind, identity.name, identity.input);
    const recorded = this.player.recordedEntry(key);
    if (recorded) {
      this.player.replayNow(recorded);
      return answerOf<T>(recorded);
    }
    const before = this.adopted.get(key);
    const value = before ? (before.v as T) : produce();
    this.player.settleNow({ k: key, v: value });
    return value;
  }

  /** Earlier dispatches of a step in this epoch; part of its attempts' names. */
  nextIndex(step: string): number {
    const index = this.dispatched.get(step) ?? 0;
    this.dispatched.set(step, index + 1);
    return index;
  }

  private answerInTurn<T>(recorded: JournalEntry): Promise<T> {
    return new Promise((resolve, reject) =>
      this.player.replayTo(recorded, () =>
        recorded.f ? reject(fromJournalFailure(recorded.f)) : resolve(recorded.v as T),
      ),
    );
  }

  // What every call passes through has no async function that it can do without: the sandbox takes a stack trace for each promise.
  private callLive<T>(
    { kind, name, key }: CallIdentity & { readonly key: CallKey },
    work: (call: LiveCall) => Promise<T>,
    { resolve, reject, leave }: Answer<T>,
  ): void {
    if (CancellationScope.current().consideredCancelled) {
      leave?.();
      return reject(new CancelledFailure(`${kind} "${name}" was not started: the run is cancelled`));
    }
    let begun = false;
    const call: LiveCall = {
      key,
      callId: callIdOf(workflowInfo().firstExecutionRunId, key),
      pending: this.player.pendingOf(key),
      setPending: (pending) => this.player.setPending(key, pending),
      begin: () =>
        this.inFlight.take(() => {
          begun = true;
          leave?.();
        }),
      end: () => {
        begun = false;
        this.inFlight.leave();
        this.continueIfQuiet(wantsToContinue(this.snapshot));
      },
    };
    const settle = (entry: JournalEntry, deliver: () => void) => {
      this.live--;
      if (begun) this.inFlight.leave();
      leave?.();
      this.player.settle(entry, deliver);
    };
    this.live++;
    const taken = this.adopted.get(key);
    const made =
      taken && this.seed
        ? Promise.resolve(
            adopt(taken, {
              kind,
              name,
              callId: call.callId,
              seed: this.seed,
              view: this.view,
            }) as T,
          )
        : this.isMoved()
          ? this.takeUpBuild().then(() => work(call))
          : work(call);
    made.then(
      (value) => settle({ k: key, v: value }, () => resolve(value)),
      (error: unknown) => {
        const f = toJournalFailure(error);
        // Thrown as it will be thrown from the journal: code that looks at it takes the same way again.
        settle({ k: key, f }, () =>
          reject(isCancellation(error) && error instanceof Error ? error : fromJournalFailure(f)),
        );
      },
    );
  }

  /** Whether an operator has moved the run to another build since its snapshot was taken. Replays the same: the server records it. */
  private isMoved(): boolean {
    const { currentDeploymentVersion } = workflowInfo();
    // A worker without versions names a build as well, but no deployment.
    const { deploymentName, buildId } = currentDeploymentVersion ?? {};
    return deploymentName === this.snapshot.project && buildId !== this.snapshot.build;
  }

  /** From the move on calls use the steps of the new build; those that have begun end with the code they began with. */
  private takeUpBuild(): Promise<void> {
    this.retaking ??= this.retake(this.snapshot).then(async (snapshot) => {
      await this.localTurn();
      this.snapshot = snapshot;
      this.view.snapshot = snapshot;
      this.retaking = undefined;
    });
    return this.retaking;
  }

  /** Goes on after a pause. */
  resume(): void {
    this.inFlight.admit();
  }

  /** Whether nothing new may start: only the run's cancellation ends that. */
  private mustWait(): boolean {
    if (this.continued) return true;
    const must = mustContinue(this.snapshot);
    return this.continueIfQuiet(must) || ((must || this.controls.paused !== undefined) && !this.cancelled);
  }

  /** Decides to continue as new when that is wanted and nothing is in flight. A cancelled run never continues: its clean-up is short. */
  private continueIfQuiet(wanted: boolean): boolean {
    if (this.continued) return true;
    if (!(wanted || mustContinue(this.snapshot)) || this.inFlight.taken > 0 || this.cancelled) return false;
    this.continued = true;
    this.continueRun();
    return true;
  }

  /** Whether the run was asked to stop. */
  get cancelled(): boolean {
    return this.rootScope.consideredCancelled;
  }
}

function answerOf<T>(entry: JournalEntry): T {
  if (entry.f) throw fromJournalFailure(entry.f);
  return entry.v as T;
}
