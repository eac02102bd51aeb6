import type { CommandPaths } from './command-paths.js';

/** Where the pod's one shared volume is mounted, in all of its containers. */
export const POD_ROOT = '/anneal';

/** Where our image has what runs in a pod: `pod-fetch.js`, `pod-agent.js`, `wrapper.sh` and a static `busybox`. */
export const POD_PROGRAMS = '/opt/anneal';

/** Environment of the containers of a pod; values of the step are beside it in `main`. */
export const podVariables = {
  /** `fetch` and `agent`: URI of the artifact store. */
  store: 'ANNEAL_STORE',
  /** `fetch` and `agent`: `S3Settings` as JSON; absent: AWS's own variables say everything. */
  s3: 'ANNEAL_STORE_S3',
  /** `fetch` and `agent`: key of the attempt's launch in the store, `storeKeys.launch`. */
  launch: 'ANNEAL_LAUNCH',
  /** `fetch` and `agent`: from the downward API. */
  podUid: 'ANNEAL_POD_UID',
  podName: 'ANNEAL_POD_NAME',
  /** `main`: seconds between SIGTERM and SIGKILL. */
  stopGrace: 'ANNEAL_STOP_GRACE',
  /** `main`: seconds that the command may take; absent: no limit. */
  timeout: 'ANNEAL_TIMEOUT',
} as const;

/** Every path in a pod's volume; the one place that knows its layout, beside `wrapper.sh`. */
export interface PodPaths extends CommandPaths {
  readonly root: string;
  readonly busybox: string;
  readonly wrapper: string;
  /** Folder of the files below by which the containers talk. */
  readonly control: string;
  /** There as soon as the agent runs: what its startup probe asks for. */
  readonly agentStarted: string;
  /** A pipe that the wrapper holds open: its end is the wrapper's. */
  readonly alive: string;
  /** Written by the wrapper, after it opened `alive`. */
  readonly started: string;
  /** Written by the agent while the command has not begun: its attempt has ended, and the wrapper begins nothing. */
  readonly over: string;
  /** Why the wrapper or the time limit ended the command: `timeout` or `signal`; absent: it ended by itself. */
  readonly endedBy: string;
  /** One sentence: why the wrapper did not start the command. */
  readonly refused: string;
  /** How many processes of the command were killed for lack of memory; absent: this machine does not say. */
  readonly memoryKills: string;
  /** Written by the agent: the wrapper sends the command SIGUSR1, as soon as that handles it, and removes the file. */
  readonly signal: string;
  /** The command's exit code, as a shell gives it; written when none of its processes is left. */
  readonly exit: string;
  /** Written by the agent when all is stored: `0`, or {@link UPLOAD_FAILED_EXIT}. Lets the wrapper end. */
  readonly done: string;
  /** How many agents were started since the command ended. */
  readonly lateAgents: string;
  readonly renamedCheckpoints: string;
  readonly restoredCheckpoints: string;
}

/** The paths of a pod whose volume is at `root`. */
export function podPaths(root: string = POD_ROOT): PodPaths {
  const control = `${root}/ctl`;
  return {
    root,
    busybox: `${root}/bin/busybox`,
    wrapper: `${root}/bin/wrapper.sh`,
    control,
    agentStarted: `${control}/agent-started`,
    alive: `${control}/alive`,
    started: `${control}/started`,
    over: `${control}/over`,
    endedBy: `${control}/ended-by`,
    refused: `${control}/refused`,
    memoryKills: `${control}/memory-kills`,
    signal: `${control}/signal`,
    exit: `${control}/exit`,
    done: `${control}/done`,
    lateAgents: `${control}/late-agents`,
    renamedCheckpoints: `${control}/renamed-checkpoints.json`,
    restoredCheckpoints: `${control}/restored-checkpoints.json`,
    log: `${root}/logs/output.log`,
    metricsStream: `${root}/metrics.jsonl`,
    work: `${root}/code`,
    inputs: `${root}/inputs`,
    parameters: `${root}/parameters`,
    outputs: `${root}/outputs`,
    checkpoints: `${root}/checkpoints`,
    commands: `${root}/commands`,
    home: `${root}/home`,
    temporary: `${root}/tmp`,
  };
}

/** The program and the first arguments of `main`; the step's command follows, its first argument as the step gives it. */
export function wrapperCommand(paths: PodPaths = podPaths()): readonly string[] {
  return [paths.busybox, 'sh', paths.wrapper];
}

/** What `main` ends with when the command's outputs could not be stored. Its other exit codes are the command's. */
export const UPLOAD_FAILED_EXIT = 97;
