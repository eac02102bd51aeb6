import type { AliasMoved, AliasOptions, ModelOperations } from '../../client/index.js';
import { AnnealError } from '../../core/failures.js';
import type { Command, CommandContext } from '../command.js';
import { EXIT } from '../report-error.js';
import { userName } from '../user-name.js';

/** `anneal promote MODEL VERSION`: points an alias at a version. */
export const promote: Command = async (context, [model = '', version = ''], options) => {
  if (!/^[1-9]\d{0,14}$/.test(version))
    throw new AnnealError(
      'InvalidInput',
      `"${version}" is not a version of model "${model}"; it must be a whole number of at least 1, as MLflow shows it.`,
    );
  return await move(context, (models) =>
    models.promote({ ...aliasOf(context, model, options), version: Number(version) }),
  );
};

/** `anneal rollback MODEL`: points an alias back at the version before. */
export const rollback: Command = async (context, [model = ''], options) =>
  await move(context, (models) => models.rollback(aliasOf(context, model, options)));

/** `anneal demote MODEL`: removes an alias. */
export const demote: Command = async (context, [model = ''], options) =>
  await move(context, (models) => models.demote(aliasOf(context, model, options)));

/** `anneal repair MODEL`: puts aliases back that a late write moved. */
export const repair: Command = async ({ terminal, openProject }, [model = '']) => {
  const client = await (await openProject()).client();
  const repairs = await client.models.repair(model);
  terminal.show({ model, repairs }, () =>
    repairs.length === 0
      ? `The aliases of ${model} are where they were put.`
      : repairs.map((made) => repairText(model, made)).join('\n'),
  );
  return EXIT.ok;
};

function aliasOf(
  { env }: CommandContext,
  model: string,
  { alias, by }: { readonly alias?: string; readonly by?: string },
): AliasOptions {
  return { model, by: by ?? userName(env), ...(alias === undefined ? {} : { alias }) };
}

async function move(
  { terminal, openProject }: CommandContext,
  work: (models: ModelOperations) => Promise<AliasMoved>,
): Promise<number> {
  const client = await (await openProject()).client();
  const moved = await work(client.models);
  terminal.show(moved, () =>
    [...moved.repairs.map((made) => repairText(moved.model, made)), movedText(moved)].join('\n'),
  );
  return EXIT.ok;
}

function movedText({ model, alias, version, replaced }: AliasMoved): string {
  if (version === null) return `${model}@${alias} is removed; it was version ${replaced ?? ''}.`;
  const before = replaced === undefined || replaced === version ? '' : `, before: version ${replaced}`;
  return `${model}@${alias} is version ${version}${before}.`;
}

function repairText(model: string, { alias, version, found }: AliasMoved['repairs'][number]): string {
  const at = (place: string | null) => (place === null ? 'nowhere' : `version ${place}`);
  return `${model}@${alias} had been moved to ${at(found)} by a late write; it is back at ${at(version)}.`;
}
