import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

/** What the project of a cluster test is made of. */
export interface ClusterProject {
  readonly root: string;
  readonly namespace: string;
  readonly store: string;
  readonly controlUrl: string;
  /** Lines under `kubernetes:`, each with two spaces before it. */
  readonly more?: string;
  /** Lines of their own. */
  readonly settings?: string;
}

export const CLUSTER_PROJECT = 'clustered';
/** The Secret with the store's credentials. */
export const STORE_SECRET = 'anneal-store';

/**
 * Writes a project whose training, in a pod, goes on until it is told to finish, tells of its executions, and leaves a checkpoint with each
 * unit of work.
 */
export async function writeClusterProject(project: ClusterProject): Promise<void> {
  const files = {
    'anneal.yaml': settings(project),
    'pipelines/index.ts': pipelines(),
    'steps/note.sh': tell(project.controlUrl) + NOTE,
    'steps/train.sh': tell(project.controlUrl) + TRAIN,
  };
  for (const [file, contents] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(project.root, file)), { recursive: true });
    await writeFile(path.join(project.root, file), contents);
  }
}

const settings = ({
  namespace,
  store,
  more = '',
  settings: lines = '',
}: ClusterProject) => `project: ${CLUSTER_PROJECT}
pipelines: pipelines/index.ts
store: ${store}
${lines}
kubernetes:
  namespace: ${namespace}
  image: kube.local/anneal:1
  store: { secret: ${STORE_SECRET} }
${more}
pools:
  cpu: { executor: kubernetes, image: "kube.local/busybox:1", cpu: 1, memory: 1Gi, defaults: { cpu: 0.1, memory: 64Mi }, user: 65532 }
`;

/** `retry.attempts: 1` and no delay worth waiting for: whatever is tried again was paid for by the infrastructure's budget. */
const pipelines =
  () => `import { dataset, definePipeline, defineStep, metrics, model, registerModel, string } from 'anneal';

const control = string();

const prepare = defineStep({
  name: 'prepare',
  code: 'steps/note.sh',
  inputs: { control },
  outputs: { data: dataset() },
  command: ({ inputs, outputs }) => ['sh', 'note.sh', inputs.control, outputs.data.path],
});

const train = defineStep({
  name: 'train',
  code: 'steps/train.sh',
  inputs: { control, data: dataset() },
  outputs: { model: model(), metrics: metrics({ units: 'number' }) },
  command: ({ inputs, outputs }) => ['sh', 'train.sh', inputs.control, outputs.model.path, outputs.metrics.path],
  retry: { attempts: 1, delay: '1h' },
  stopGrace: '5s',
});

export const training = definePipeline(
  { name: 'training', params: { control, modelName: string() } },
  async ({ control, modelName }) => {
    const { data } = await prepare({ control });
    const { model, metrics } = await train({ control, data });
    return registerModel({ name: modelName, model, metrics, alias: 'champion' });
  },
);

export const single = definePipeline({ name: 'single', params: { control } }, async ({ control }) => {
  await prepare({ control });
  return {};
});
`;

const tell = (url: string) => `set -eu
tell() { wget -q -O - "${url}/$1/$2?step=$ANNEAL_STEP&attempt=$ANNEAL_ATTEMPT&units=$3" 2> /dev/null || true; }
`;

const NOTE = `tell "$1" start 0
echo "data of $ANNEAL_STEP" > "$2"
tell "$1" end 0
`;

const TRAIN = `units=0
mkdir -p "$ANNEAL_CHECKPOINT_DIR" "$2"
for file in "$ANNEAL_CHECKPOINT_DIR"/unit-*; do
  case $file in *.tmp | *'*') continue ;; esac
  number=$(cat "$file")
  [ "$number" -gt $units ] && units=$number
done
tell "$1" start $units
# A test that went wrong must not leave a training behind for ever.
until=$(($(date +%s) + 300))
while [ "$(tell "$1" finished 0)" != finish ]; do
  [ "$(date +%s)" -lt $until ] || exit 70
  sleep 0.3
  units=$((units + 1))
  file=$ANNEAL_CHECKPOINT_DIR/unit-$(printf %06d $units)
  echo $units > "$file.tmp"
  mv "$file.tmp" "$file"
  echo "unit $units"
done
printf 'flavors:\\n  python_function:\\n    loader_module: trained\\n' > "$2/MLmodel"
echo "{\\"units\\": $units}" > "$3"
tell "$1" end $units
`;
