import { approval, boolean, champion, definePipeline, notify, number, registerModel, string } from 'anneal';
import { computeFeatures, evaluateModel, ingest, trainModel, validateData } from './steps.js';

const MODEL = 'churn-predictor';
const ALERTS = ['ml-alerts@company.com'];

export const churnTraining = definePipeline(
  {
    name: 'churn-training',
    description: 'Nightly churn model of a telecom company: train, judge, register, promote',
    params: {
      table: string({
        oneOf: ['mlc_churn', 'wa_churn'],
        default: 'mlc_churn',
        description: 'customers to learn from',
      }),
      threshold: number({
        min: 0,
        max: 1,
        default: 0.85,
        description: 'weighted F1 on held-out customers that a model needs',
      }),
      approve: boolean({ default: false, description: 'ask a person before the model goes live' }),
      secondsPerTree: number({
        min: 0,
        max: 10,
        default: 0,
        description: 'slows training down, to watch it or to kill it',
      }),
    },
    owner: 'ml-platform',
    tags: ['churn', 'nightly'],
    schedule: { cron: '0 2 * * *' },
    notify: { onFailure: ALERTS },
  },
  async ({ table, threshold, approve, secondsPerTree }) => {
    const { data: raw } = await ingest({ table });
    const { data } = await validateData({ data: raw });
    const { train, test } = await computeFeatures({ data });
    const { model } = await trainModel({ train, secondsPerTree });
    const { metrics } = await evaluateModel({ model, test });
    const { f1 } = metrics.values;

    if (f1 < threshold) {
      const current = await champion(MODEL);
      const stays = current ? `champion stays v${current.version}` : 'there is no champion yet';
      const reason = `F1 ${f1.toFixed(3)} < ${threshold}; ${stays}`;
      await notify({
        to: ALERTS,
        subject: `churn-training: ${reason}`,
        text: sideBySide(metrics.values, current?.metrics ?? {}),
      });
      return { promoted: false, reason, f1, champion: current?.version ?? null };
    }

    // On a laptop anybody may decide. A team lists its approvers with their keys in anneal.yaml and takes allowUnverified away.
    if (approve)
      await approval('promote', {
        subject: model,
        metrics,
        model: MODEL,
        expires: '3d',
        allowUnverified: true,
      });
    const { version, replaced } = await registerModel({ name: MODEL, model, metrics, alias: 'champion' });
    return { promoted: true, model: MODEL, version, replaced: replaced ?? null, f1 };
  },
);

/** Challenger and champion, metric by metric. */
function sideBySide(
  challenger: { readonly [name: string]: number },
  current: { readonly [name: string]: number },
): string {
  const rows = Object.entries(challenger).map(
    ([name, value]) =>
      `${name.padEnd(10)} ${value.toFixed(4).padStart(10)} ${current[name]?.toFixed(4).padStart(10) ?? '         -'}`,
  );
  return ['metric     challenger   champion', ...rows].join('\n');
}
