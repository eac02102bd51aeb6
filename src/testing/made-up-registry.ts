import type { ChampionInfo } from '../core/activities.js';
import { pushVersion, rollbackTargets } from '../core/alias-moves.js';
import type { LaneResult } from '../core/registry.js';
import type { RegisterOptions } from '../pipeline/runtime.js';
import { toFailure } from '../workflows/failures.js';

/** A version that a model has before the run; `alias` (default `champion`) points at it. */
export interface ExistingModel {
  readonly version: number;
  readonly metrics?: { readonly [name: string]: number };
  readonly alias?: string;
}

/** A registration that the run made. */
export interface Registration {
  readonly model: string;
  readonly version: number;
  readonly digest: string;
  readonly metrics: { readonly [name: string]: number };
}

/** A move of an alias that the run made. */
export interface Promotion {
  readonly model: string;
  readonly alias: string;
  readonly version: number;
  readonly replaced?: number;
}

interface Version {
  readonly version: number;
  readonly metrics: { readonly [name: string]: number };
  readonly digest?: string;
}

interface Model {
  readonly versions: Version[];
  readonly aliases: Map<string, number>;
  /** Versions that each alias remembers, the newest last. */
  readonly remembered: Map<string, readonly string[]>;
}

/** A model registry in memory, with the semantics of the lane: the same model of the same run gives the same version. */
export class MadeUpRegistry {
  readonly registrations: Registration[] = [];
  readonly promotions: Promotion[] = [];
  private readonly models = new Map<string, Model>();

  constructor(existing: { readonly [model: string]: ExistingModel }) {
    for (const [name, { version, metrics = {}, alias = 'champion' }] of Object.entries(existing))
      this.models.set(name, {
        versions: [{ version, metrics }],
        aliases: new Map([[alias, version]]),
        remembered: new Map([[alias, [String(version)]]]),
      });
  }

  register({ name, model, metrics }: RegisterOptions): LaneResult {
    const known = this.model(name);
    const same = known.versions.find(({ digest }) => digest === model.digest);
    if (same) return { version: String(same.version) };
    const version = Math.max(0, ...known.versions.map((other) => other.version)) + 1;
    const made = { version, digest: model.digest, metrics: numbersOf(metrics?.values) };
    known.versions.push(made);
    this.registrations.push({ model: name, ...made });
    return { version: String(version) };
  }

  promote(name: string, version: number, alias: string): LaneResult {
    const known = this.model(name);
    if (!known.versions.some((other) => other.version === version))
      throw toFailure(
        'InvalidInput',
        `Model "${name}" has no version ${version}, so alias "${alias}" cannot point at it. Promote a version that is registered.`,
      );
    const before = known.aliases.get(alias);
    const replaced = before === undefined || before === version ? {} : { replaced: before };
    known.aliases.set(alias, version);
    known.remembered.set(alias, pushVersion(known.remembered.get(alias) ?? [], String(version)));
    this.promotions.push({ model: name, alias, version, ...replaced });
    return {
      version: String(version),
      ...(before === undefined || before === version ? {} : { replaced: String(before) }),
    };
  }

  rollback(name: string, alias: string): LaneResult {
    const known = this.model(name);
    const current = known.aliases.get(alias);
    const state = {
      current: current === undefined ? null : String(current),
      stack: known.remembered.get(alias) ?? [],
    };
    const [stack] = rollbackTargets(state);
    const version = stack?.at(-1);
    if (stack === undefined || version === undefined)
      throw toFailure(
        'InvalidInput',
        `Alias "${alias}" of model "${name}" ${current === undefined ? 'is not set' : `points at version ${current}`} and remembers no version before. Promote a version, or remove the alias with: anneal demote`,
      );
    known.remembered.set(alias, stack);
    known.aliases.set(alias, Number(version));
    return { version, ...(current === undefined ? {} : { replaced: String(current) }) };
  }

  demote(name: string, alias: string): LaneResult {
    const known = this.model(name);
    const current = known.aliases.get(alias);
    if (current === undefined)
      throw toFailure(
        'InvalidInput',
        `Alias "${alias}" of model "${name}" is not set, so there is nothing to demote. See its aliases in MLflow.`,
      );
    known.aliases.delete(alias);
    return { version: String(current) };
  }

  champion(name: string, alias: string): ChampionInfo | null {
    const known = this.models.get(name);
    const found = known?.versions.find(({ version }) => version === known.aliases.get(alias));
    if (!found) return null;
    const { version, metrics, digest } = found;
    return { version: String(version), metrics, ...(digest === undefined ? {} : { digest }) };
  }

  private model(name: string): Model {
    const known = this.models.get(name) ?? {
      versions: [],
      aliases: new Map<string, number>(),
      remembered: new Map<string, readonly string[]>(),
    };
    this.models.set(name, known);
    return known;
  }
}

function numbersOf(values: unknown): { readonly [name: string]: number } {
  const entries = typeof values === 'object' && values !== null ? Object.entries(values) : [];
  return Object.fromEntries(
    entries.filter((entry): entry is [string, number] => typeof entry[1] === 'number'),
  );
}
