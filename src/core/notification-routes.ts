/** What a message to people is about; `message` is one that a pipeline wrote. */
export type NotificationEvent =
  | 'failure'
  | 'success'
  | 'recovery'
  | 'approval'
  | 'stuck'
  | 'terminated'
  | 'timed-out'
  | 'schedule-skipped'
  | 'budget'
  | 'message';

/**
 * Who is told of what: e-mail addresses, `slack:<name>` and `webhook:<name>` of the `notifiers` in anneal.yaml. In a pipeline, or for all
 * pipelines in anneal.yaml; a list of the pipeline stands in place of the project's, an empty one tells nobody.
 */
export interface NotifyOptions {
  readonly onFailure?: readonly string[];
  /** A run ended as completed or not-promoted. */
  readonly onSuccess?: readonly string[];
  /** The first run that did not fail after one that did. */
  readonly onRecovery?: readonly string[];
  /** An approval waits; its approvers are told by e-mail in any case. */
  readonly onApproval?: readonly string[];
  /** Workers fail on the run's history again and again. Default: `onFailure`. */
  readonly onStuck?: readonly string[];
  /** A run was terminated or ran longer than its time limit. Default: `onFailure`. */
  readonly onTerminated?: readonly string[];
  /** A schedule's time passed without a run. Default: `onFailure`. */
  readonly onSkipped?: readonly string[];
  /** A run has cost 80 % of its budget. Default: `onFailure`. */
  readonly onBudget?: readonly string[];
}

/** The keys of {@link NotifyOptions}. */
export const NOTIFY_KEYS = [
  'onFailure',
  'onSuccess',
  'onRecovery',
  'onApproval',
  'onStuck',
  'onTerminated',
  'onSkipped',
  'onBudget',
] as const satisfies readonly (keyof NotifyOptions)[];

const KEYS_OF: { readonly [event in NotificationEvent]: readonly (keyof NotifyOptions)[] } = {
  failure: ['onFailure'],
  success: ['onSuccess'],
  recovery: ['onRecovery'],
  approval: ['onApproval'],
  stuck: ['onStuck', 'onFailure'],
  terminated: ['onTerminated', 'onFailure'],
  'timed-out': ['onTerminated', 'onFailure'],
  'schedule-skipped': ['onSkipped', 'onFailure'],
  budget: ['onBudget', 'onFailure'],
  message: [],
};

/** Whom a pipeline, else its project, names for an event. */
export function whoIsTold(
  event: NotificationEvent,
  pipeline: NotifyOptions,
  project: NotifyOptions = {},
): readonly string[] {
  for (const key of KEYS_OF[event]) {
    const told = pipeline[key] ?? project[key];
    if (told !== undefined) return told;
  }
  return [];
}

/** One way to people: all e-mail addresses of a message together, or one configured notifier. */
export interface Channel {
  /** `email`, `slack:<name>` or `webhook:<name>`. */
  readonly name: string;
  readonly to: readonly string[];
}

/** Kinds of configured notifiers, as addresses begin. */
export type NotifierKind = 'slack' | 'webhook';

/** Channels of addresses, in their order. What names no notifier is taken for an e-mail address. */
export function channelsOf(addresses: readonly string[]): readonly Channel[] {
  const channels = new Map<string, string[]>();
  for (const address of addresses) {
    const named = readNotifierAddress(address);
    const channel = named === undefined ? 'email' : `${named.kind}:${named.name}`;
    const to = channels.get(channel) ?? [];
    if (!to.includes(address)) to.push(address);
    channels.set(channel, to);
  }
  return [...channels].map(([name, to]) => ({ name, to }));
}

/** What an address names; `slack:#ml` is the same as `slack:ml`. `undefined`: an e-mail address. */
function readNotifierAddress(
  address: string,
): { readonly kind: NotifierKind; readonly name: string } | undefined {
  const [, kind, name] = /^(slack|webhook):#?(.+)$/.exec(address) ?? [];
  return kind === undefined || name === undefined ? undefined : { kind: kind as NotifierKind, name };
}

/** Why an address leads nowhere, as the end of a sentence; `undefined` where it does not. */
export function addressProblem(
  address: string,
  notifiers: { readonly [name: string]: { readonly type: NotifierKind } },
): string | undefined {
  const named = readNotifierAddress(address);
  if (named === undefined)
    return /^[^\s@<>,:]+@[^\s@<>,:]+$/.test(address)
      ? undefined
      : 'is none of an e-mail address, slack:NAME and webhook:NAME';
  const found = Object.hasOwn(notifiers, named.name) ? notifiers[named.name] : undefined;
  if (found === undefined) {
    const known = Object.entries(notifiers).map(([name, { type }]) => `${type}:${name}`);
    return `names nothing under notifiers: of anneal.yaml, which has ${known.join(', ') || 'none'}`;
  }
  return found.type === named.kind ? undefined : `must be ${found.type}:${named.name}, as anneal.yaml says`;
}
