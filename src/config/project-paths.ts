import path from 'node:path';
import type { StoreLocation } from '../core/store-location.js';
import type { ProjectConfig } from './project-config.js';

/** Where a project keeps what it makes. Nothing here exists until someone writes it. */
export interface ProjectPaths {
  readonly root: string;
  /** State of the local servers and workers. */
  readonly stateDir: string;
  /** Of the artifacts; may be elsewhere altogether. */
  readonly store: StoreLocation;
  readonly buildsDir: string;
  /** Working directories, logs and checkpoints of attempts on this machine. */
  readonly attemptsDir: string;
}

/** The directories of a project. */
export function projectPaths(config: Pick<ProjectConfig, 'root' | 'store'>): ProjectPaths {
  const stateDir = path.join(config.root, '.anneal', 'local');
  return {
    root: config.root,
    stateDir,
    store: config.store,
    buildsDir: path.join(config.root, '.anneal', 'build'),
    attemptsDir: path.join(stateDir, 'attempts'),
  };
}
