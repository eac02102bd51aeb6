/** Whose failure it was, and so which budget a retry would spend. */
export type FailureKind = 'user' | 'resource' | 'infrastructure' | 'config' | 'unknown';

interface FailureRow {
  readonly kind: FailureKind;
  /** `step`: the step's own `retry`; `infrastructure`: the larger budget of its own; `never`: the same input fails again. */
  readonly retry: 'step' | 'infrastructure' | 'never';
  readonly summary: string;
}

/**
 * Every way a run, a step or a command can fail. The code is the Temporal failure type, the metric label, what the CLI prints
 * and the heading in docs/errors.md.
 */
export const FAILURES = {
  StepFailed: { kind: 'user', retry: 'step', summary: "The step's command ended with a non-zero exit code." },
  StepRefused: {
    kind: 'user',
    retry: 'never',
    summary: "The step's command ended with an exit code that means bad input (64 to 78 but 75).",
  },
  StepTimedOut: {
    kind: 'user',
    retry: 'step',
    summary: "The step's command ran longer than the step's `timeout`.",
  },
  OutputMissing: {
    kind: 'user',
    retry: 'step',
    summary: 'The command succeeded but did not write a declared output.',
  },
  OutputInvalid: {
    kind: 'user',
    retry: 'step',
    summary:
      'A declared output is not what was declared: a metric without a number, a symlink, a path that leaves its directory.',
  },
  OutOfMemory: {
    kind: 'resource',
    retry: 'step',
    summary: 'The command was killed because it used more memory than it may.',
  },
  AttemptKilled: {
    kind: 'infrastructure',
    retry: 'infrastructure',
    summary: 'The command was ended by a signal that Anneal did not send.',
  },
  AttemptLost: {
    kind: 'infrastructure',
    retry: 'infrastructure',
    summary: 'The process or pod of the attempt disappeared without an outcome.',
  },
  UploadFailed: {
    kind: 'infrastructure',
    retry: 'infrastructure',
    summary: 'The outputs could not be stored.',
  },
  StoreUnavailable: {
    kind: 'infrastructure',
    retry: 'infrastructure',
    summary: 'The artifact store does not answer or refuses.',
  },
  DiskFull: {
    kind: 'infrastructure',
    retry: 'infrastructure',
    summary: "The disk of the attempt's directory is full.",
  },
  InputMissing: {
    kind: 'infrastructure',
    retry: 'infrastructure',
    summary: 'An input artifact is no longer in the store, or is not what was recorded.',
  },
  InputChanged: {
    kind: 'user',
    retry: 'never',
    summary: 'A dataset outside the store is no longer what the run pinned.',
  },
  SourceUnavailable: {
    kind: 'infrastructure',
    retry: 'infrastructure',
    summary: 'A place outside the store that holds a dataset does not answer.',
  },
  TrackingUnavailable: {
    kind: 'infrastructure',
    retry: 'infrastructure',
    summary: 'MLflow does not answer.',
  },
  EnvironmentFailed: {
    kind: 'infrastructure',
    retry: 'infrastructure',
    summary: "The step's Python environment could not be made.",
  },
  TrackingRefused: {
    kind: 'config',
    retry: 'never',
    summary: 'MLflow answers, and refuses: credentials, host check, or a request that it does not accept.',
  },
  CommandNotFound: {
    kind: 'config',
    retry: 'never',
    summary: "The step's command is not on the PATH of where it runs.",
  },
  CodeMissing: { kind: 'config', retry: 'never', summary: "A file of the step's code is not in the build." },
  SecretMissing: {
    kind: 'config',
    retry: 'never',
    summary: 'A secret that the step names does not exist where it runs.',
  },
  NoPoolFits: {
    kind: 'config',
    retry: 'never',
    summary: 'No pool offers the resources that the step asks for.',
  },
  InvalidParameter: {
    kind: 'config',
    retry: 'never',
    summary: 'A parameter is missing, unknown, of the wrong type or outside its range.',
  },
  InvalidInput: {
    kind: 'config',
    retry: 'never',
    summary: 'A step, task or function was called with an input that it does not take.',
  },
  PayloadTooLarge: {
    kind: 'config',
    retry: 'never',
    summary: 'A parameter or result is larger than Temporal may carry.',
  },
  UnknownPipeline: { kind: 'config', retry: 'never', summary: 'No pipeline of that name is in the build.' },
  InvalidConfig: {
    kind: 'config',
    retry: 'never',
    summary: 'anneal.yaml or the environment says something that cannot be used.',
  },
  BuildFailed: {
    kind: 'user',
    retry: 'never',
    summary: 'The project cannot be built: its code does not load, or names something that does not exist.',
  },
  PipelineError: { kind: 'user', retry: 'never', summary: 'The code of the pipeline threw an error.' },
  TaskFailed: { kind: 'user', retry: 'step', summary: 'A task threw an error.' },
  NotRepeatable: {
    kind: 'user',
    retry: 'never',
    summary:
      'The pipeline took another way when it was run again from its journal: its code depends on something that is not recorded.',
  },
  ApprovalRejected: { kind: 'user', retry: 'never', summary: 'A person rejected what was to be approved.' },
  ApprovalExpired: { kind: 'user', retry: 'never', summary: 'Nobody decided in time.' },
  RegistrationFailed: {
    kind: 'infrastructure',
    retry: 'infrastructure',
    summary: 'The model registry could not carry out the operation.',
  },
  NotificationFailed: {
    kind: 'infrastructure',
    retry: 'infrastructure',
    summary: 'A message to people could not be delivered.',
  },
  RunNotFound: { kind: 'config', retry: 'never', summary: 'No run of that id is known.' },
  RunExists: { kind: 'config', retry: 'never', summary: 'A run of that id exists already.' },
  ServerUnreachable: {
    kind: 'infrastructure',
    retry: 'infrastructure',
    summary: 'Temporal does not answer.',
  },
  WorkerUnavailable: {
    kind: 'infrastructure',
    retry: 'infrastructure',
    summary: 'No worker of the project answers.',
  },
  InvalidCommand: {
    kind: 'config',
    retry: 'never',
    summary: 'A command line names a command, option or value that does not exist.',
  },
  SetupFailed: {
    kind: 'config',
    retry: 'never',
    summary: 'This machine lacks something that Anneal needs, or a local server does not start.',
  },
  BudgetExceeded: {
    kind: 'resource',
    retry: 'never',
    summary: 'The attempts of the run cost as much as its budget.',
  },
  ImagePullFailed: {
    kind: 'config',
    retry: 'never',
    summary:
      "The image of the step, or Anneal's own, cannot be pulled: its name is wrong, or it may not be read.",
  },
  RegistryUnavailable: {
    kind: 'infrastructure',
    retry: 'infrastructure',
    summary: 'The image registry does not answer, or asks to come back later.',
  },
  PodRefused: {
    kind: 'config',
    retry: 'never',
    summary:
      'Kubernetes refuses the attempt: a rule of the cluster, a right that is missing, or a setting that it does not take.',
  },
  ContainerStartFailed: {
    kind: 'config',
    retry: 'never',
    summary: "A container of the attempt's pod cannot be started in its image.",
  },
  PendingTooLong: {
    kind: 'resource',
    retry: 'never',
    summary: "The attempt's pod found no place within the pool's `maxPending`.",
  },
  StorageExceeded: {
    kind: 'resource',
    retry: 'step',
    summary: "The attempt wrote more to its node's disk than its `resources.ephemeralStorage`.",
  },
  Evicted: {
    kind: 'infrastructure',
    retry: 'infrastructure',
    summary:
      "The cluster took the attempt's pod from its node: a drain, a spot instance that ends, or pressure on the node.",
  },
  Preempted: {
    kind: 'infrastructure',
    retry: 'infrastructure',
    summary: "A pod of higher priority took the place of the attempt's.",
  },
  NodeLost: {
    kind: 'infrastructure',
    retry: 'infrastructure',
    summary: "The node of the attempt's pod stopped answering, or was shut down or removed.",
  },
  PodDeleted: {
    kind: 'infrastructure',
    retry: 'infrastructure',
    summary: "Somebody deleted the attempt's pod or Job, and it was not Anneal.",
  },
  ClusterUnavailable: {
    kind: 'infrastructure',
    retry: 'infrastructure',
    summary: 'The Kubernetes API does not answer, or refuses for the moment.',
  },
  Unknown: { kind: 'unknown', retry: 'infrastructure', summary: 'Something that Anneal has no name for.' },
} as const satisfies Record<string, FailureRow>;

/** A name in the failure table. */
export type FailureCode = keyof typeof FAILURES;

/** A failure as it crosses processes: in histories, journals, `--json`. */
export interface FailureInfo {
  readonly code: FailureCode;
  /** One sentence or two: what, on what, found against allowed, next step. */
  readonly message: string;
}

/** The row of a code. */
export function failureRow(code: FailureCode): FailureRow {
  return FAILURES[code];
}

/** Whether a text is a code of the table. */
export function isFailureCode(text: string | null | undefined): text is FailureCode {
  return text !== null && text !== undefined && Object.hasOwn(FAILURES, text);
}

/** The code for a command's exit code: sysexits 64 to 78 say that the same input fails again, except 75, "try again". */
export function failureCodeOfExit(exitCode: number): FailureCode {
  return exitCode >= 64 && exitCode <= 78 && exitCode !== 75 ? 'StepRefused' : 'StepFailed';
}

/**
 * An error with a code of the table, for code that runs outside the workflow sandbox. Inside it, and on the wire, the code is the
 * failure's type; test by code, never by class.
 */
export class AnnealError extends Error {
  readonly code: FailureCode;
  constructor(code: FailureCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.name = 'AnnealError';
    this.code = code;
  }
}
