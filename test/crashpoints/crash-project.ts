import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

/** Name of the one pipeline. */
export const CRASH_PIPELINE = 'crashing';
/** Steps of it that are executed; a third call is answered by the cache. */
export const CRASH_STEPS = ['features', 'train'] as const;

/** What a project of the crash tests is made of. */
export interface CrashProject {
  readonly root: string;
  readonly project: string;
  /** Where the store is, if not in the project. */
  readonly store?: string;
  /** Size of the model: more than 8 MiB goes to S3 in parts. */
  readonly modelBytes: number;
}

/** Writes a project that makes a dataset, finds it in the cache, trains with a checkpoint, registers and promotes: shell commands only. */
export async function writeCrashProject({ root, project, store, modelBytes }: CrashProject): Promise<void> {
  const settings = `project: ${project}\npools:\n  cpu:\n    slots: 4\n${store === undefined ? '' : `store: ${store}\n`}`;
  const files = {
    'anneal.yaml': settings,
    'pipelines/index.ts': pipelines(modelBytes),
    'steps/features.sh': FEATURES,
    'steps/train.sh': TRAIN,
  };
  for (const [file, contents] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(root, file)), { recursive: true });
    await writeFile(path.join(root, file), contents);
  }
}

function pipelines(modelBytes: number): string {
  return `import { boolean, dataset, definePipeline, defineStep, metrics, model, registerModel, string } from 'anneal';

const features = defineStep({
  name: 'features',
  code: 'steps/features.sh',
  inputs: { ledger: string(), rough: boolean() },
  outputs: { data: dataset() },
  command: ({ inputs, outputs }) => ['sh', 'features.sh', inputs.ledger, outputs.data.path, inputs.rough],
  cache: { ttl: '1h', version: '1' },
  retry: { attempts: 2, delay: '100ms' },
});

const train = defineStep({
  name: 'train',
  code: 'steps/train.sh',
  inputs: { ledger: string(), data: dataset(), rough: boolean() },
  outputs: { model: model(), metrics: metrics({ f1: 'number' }) },
  command: ({ inputs, outputs }) => ['sh', 'train.sh', inputs.ledger, outputs.model.path, outputs.metrics.path, '${modelBytes}', inputs.rough],
  retry: { attempts: 1 },
});

export const crashing = definePipeline(
  { name: '${CRASH_PIPELINE}', params: { ledger: string(), modelName: string(), rough: boolean() } },
  async ({ ledger, modelName, rough }) => {
    await features({ ledger, rough });
    const { data } = await features({ ledger, rough });
    const { model, metrics } = await train({ ledger, data, rough });
    const { version } = await registerModel({ name: modelName, model, metrics, alias: 'champion' });
    return { version: Number(version) };
  },
);
`;
}

/** Each command writes a line when it is executed. A training whose supervisor is dead does not end by itself. */
const FEATURES = `echo "$ANNEAL_STEP $ANNEAL_ATTEMPT" >> "$1"
[ "$3" = true ] && [ "$ANNEAL_ATTEMPT" = 1 ] && exit 3
echo "x,y" > "$2"
`;

const TRAIN = `echo "$ANNEAL_STEP $ANNEAL_ATTEMPT" >> "$1"
mkdir -p "$2" "$ANNEAL_CHECKPOINT_DIR"
echo 1 > "$ANNEAL_CHECKPOINT_DIR/unit.tmp" && mv "$ANNEAL_CHECKPOINT_DIR/unit.tmp" "$ANNEAL_CHECKPOINT_DIR/unit-1"
printf 'flavors:\\n  python_function:\\n    loader_module: trained\\n' > "$2/MLmodel"
[ "$5" = true ] && sleep 3
kill -0 "$PPID" || sleep 60
head -c "$4" /dev/zero > "$2/weights"
printf '{"f1": 0.9}' > "$3"
`;
