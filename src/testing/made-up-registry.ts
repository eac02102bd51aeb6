import type { ChampionInfo } from '../core/activities.js';
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
}

/** A model registry in memory, with the semantics of the lane: the same model of the same run gives the same version. */
export class MadeUpRegistry {
  readonly registrations: Registration[] = [];
  readonly promotions: Promotion[] = [];
  private readonly models = new Map<string, Model>();

  constructor(existing: { readonly [model: string]: ExistingModel }) {
    for (const [name, { version, metrics = {}, alias = 'champion' }] of Object.entries(existing))
      this.models.set(name, { versions: [{ version, metrics }], aliases: new Map([[alias, version]]) });
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
    this.promotions.push({ model: name, alias, version, ...replaced });
    return {
      version: String(version),
      ...(before === undefined || before === version ? {} : { replaced: String(before) }),
    };
  }

  champion(name: string, alias: string): ChampionInfo | null {
    const known = this.models.get(name);
    const found = known?.versions.find(({ version }) => version === known.aliases.get(alias));
    if (!found) return null;
    const { version, metrics, digest } = found;
    return { version: String(version), metrics, ...(digest === undefined ? {} : { digest }) };
  }

  private model(name: string): Model {
    const known = this.models.get(name) ?? { versions: [], aliases: new Map<string, number>() };
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
