/** The files and folders that a step's command finds, whatever executor runs it; docs/step-contract.md promises them. */
export interface CommandPaths {
  /** Standard output and standard error, in the order they were written. */
  readonly log: string;
  readonly metricsStream: string;
  /** The command's working directory, with the step's code. */
  readonly work: string;
  readonly inputs: string;
  readonly parameters: string;
  readonly outputs: string;
  readonly checkpoints: string;
  /** Where commands of people arrive, for steps that take some. */
  readonly commands: string;
  readonly home: string;
  readonly temporary: string;
}
