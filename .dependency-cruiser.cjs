// Who may import whom. The table is the contract; every rule below is derived from it.
// Anything that is not listed is an error: a layer's rule is an allow-list, so a new folder or package is refused until it is named here.

/**
 * `layers`: folders of src/ that it may import besides itself. `packages`: npm packages (`@scope/*` for a whole scope, `*` for any).
 * `node`: whether Node's own modules are allowed. `ports`: whether it may import the types of another layer's ports.
 */
const LAYERS = {
  core: { layers: [], packages: ['@noble/hashes', '@noble/ed25519'], node: false },
  pipeline: { layers: ['core'], packages: [], node: false },
  workflows: {
    layers: ['core', 'pipeline'],
    packages: ['@temporalio/workflow', '@temporalio/common'],
    node: false,
  },
  activities: { layers: ['core'], packages: ['@temporalio/activity', '@temporalio/common'], node: true },
  adapters: { layers: ['core'], packages: ['*'], node: true, ports: true },
  agent: { layers: ['core', 'adapters'], packages: [], node: true },
  client: {
    layers: ['core', 'pipeline'],
    packages: ['@temporalio/client', '@temporalio/common'],
    node: true,
    ports: true,
  },
  config: { layers: ['core'], packages: ['zod', 'yaml', 'pino'], node: true },
  telemetry: { layers: ['core'], packages: ['zod', 'yaml', 'pino'], node: true },
  local: { layers: ['core', 'config', 'adapters'], packages: [], node: true },
  // Workflows are absent on purpose: workers load them by path, so that they are bundled and never run outside the sandbox.
  workers: {
    layers: ['core', 'pipeline', 'activities', 'adapters', 'agent', 'config', 'telemetry', 'local'],
    packages: ['@temporalio/*'],
    node: true,
  },
  cli: {
    layers: ['core', 'pipeline', 'client', 'workers', 'config', 'telemetry', 'local'],
    packages: ['commander', 'picocolors', 'cli-table3', 'croner', 'cronstrue'],
    node: true,
  },
  testing: {
    layers: [
      'core',
      'pipeline',
      'workflows',
      'activities',
      'adapters',
      'agent',
      'client',
      'config',
      'telemetry',
      'local',
      'workers',
    ],
    packages: ['@temporalio/*'],
    node: true,
  },
};

/** Single files that compose for users what a layer otherwise gets injected; each has a row of its own instead of its layer's. */
const COMPOSITIONS = {
  // What a user's script needs to read a project as the commands do. It loads all of it when it is called.
  'client/connect-project.ts': {
    layers: ['core', 'client', 'config', 'local', 'workers'],
    packages: ['@temporalio/client'],
    node: true,
  },
};

/** Workspaces under packages/, in the same words. They stand alone: nothing of src/ is ever allowed. */
const WORKSPACES = {
  'mlflow-ts-client': { layers: [], packages: ['zod'], node: true },
};

/** Loaded by path or by name rather than imported; see also `entry` in knip.json. */
const ENTRY_POINTS =
  '(^|/)index\\.ts$|\\.d\\.ts$|^src/(workflows/[^/]+|agent/supervisor|agent/pod/pod-(agent|fetch)|cli/main|workers/[^/]*main[^/]*)\\.ts$';

const TESTS = '^(test|packages/[^/]+/test)/';
const PORTS = '^src/[^/]+/ports(/|\\.ts$)';

const layerRules = [
  ...Object.entries(LAYERS).map(([name, table]) => allowOnly(name, `^src/${name}/`, table)),
  ...Object.entries(COMPOSITIONS).map(([file, table]) => allowOnly(file, filePattern(file), table)),
];
const workspaceRules = Object.entries(WORKSPACES).map(([name, table]) =>
  allowOnly(name, `^packages/${name}/src/`, table),
);

const structureRules = [
  {
    name: 'layer-unknown',
    comment:
      'A folder of src/ that the table does not know has no rules. Add it to LAYERS in .dependency-cruiser.cjs, with an ADR.',
    severity: 'error',
    from: { path: '^src/', pathNot: `^src/(${Object.keys(LAYERS).join('|')})/` },
    to: {},
  },
  {
    name: 'ports-are-types',
    comment: "Another layer's ports may be implemented, not called: use `import type`.",
    severity: 'error',
    from: { path: '^src/([^/]+)/', pathNot: '^src/(workers|testing)/' },
    to: { path: PORTS, pathNot: '^src/$1/', dependencyTypesNot: ['type-only'] },
  },
  {
    name: 'runs-share-workflow-code',
    comment:
      "One copy of the workflow code serves all runs of a worker; only the dispatcher, which each run has of its own, gives it the run's authoring API.",
    severity: 'error',
    from: { path: '^src/workflows/', pathNot: '^src/workflows/(index|dispatch)\\.ts$' },
    to: { path: '^src/pipeline/', dependencyTypesNot: ['type-only'] },
  },
  {
    name: 'verifier-is-injected',
    comment:
      'Who checks signatures is a port (SignatureVerifier in core/approval.ts): single files choose it, one for workflows, workers and clients each.',
    severity: 'error',
    from: {
      path: '^src/',
      pathNot: '^src/(workflows/dispatch|workers/create-workers|client/anneal-client)\\.ts$',
    },
    to: { path: '^src/core/verify-signature\\.ts$' },
  },
  {
    name: 'cli-main-stays-light',
    comment: '`anneal --help` has 150 ms: main.ts loads heavy modules through `await import()`.',
    severity: 'error',
    from: { path: '^src/cli/main\\.ts$' },
    to: {
      path: ['^src/(client|workers|local)/', '(^|/)node_modules/@temporalio/'],
      dynamic: false,
      dependencyTypesNot: ['type-only'],
    },
  },
  {
    name: 'no-circular',
    comment: 'Two modules that need each other are one module, or need a third.',
    severity: 'error',
    from: {},
    to: { circular: true },
  },
  {
    name: 'no-orphans',
    comment: 'Nothing imports it and it imports nothing: delete it, or wire it up.',
    severity: 'error',
    from: { orphan: true, path: '^(src|packages/[^/]+/src)/', pathNot: ENTRY_POINTS },
    to: {},
  },
  {
    name: 'nothing-imports-tests',
    comment: 'Tests may share fixtures with tests only. What others need belongs to src/testing.',
    severity: 'error',
    from: { pathNot: TESTS },
    to: { path: TESTS },
  },
  {
    name: 'nothing-imports-examples',
    comment: 'Examples are users of the package; only tests and benchmarks may run them.',
    severity: 'error',
    from: { pathNot: [TESTS, '^examples/', '^bench/'] },
    to: { path: '^examples/' },
  },
];

module.exports = {
  forbidden: [...layerRules, ...workspaceRules, ...structureRules],
  options: {
    // dist is where the workspace's own package resolves to: its edges count, its insides do not.
    doNotFollow: { path: '(^|/)(node_modules|dist)/' },
    exclude: { path: '(^|/)\\.anneal/' },
    // Before compilation, so that `import type` is held to the same table.
    tsPreCompilationDeps: true,
    combinedDependencies: true,
    tsConfig: { fileName: 'tsconfig.base.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'types', 'default'],
      extensions: ['.ts', '.js', '.mjs', '.cjs', '.json'],
    },
  },
};

/** One rule for one row of the table: every import that the row does not list is a violation. */
function allowOnly(name, home, { layers, packages, node, ports = false }) {
  const allowed = [home, ...layers.map((layer) => `^src/${layer}/`), ...packages.flatMap(packagePatterns)];
  if (ports) allowed.push(PORTS);
  const listed = [
    ...layers,
    ...packages,
    ...(node ? ["Node's modules"] : []),
    ...(ports ? ['port types'] : []),
  ];
  return {
    name: `layer-${name}`,
    comment: `${name} may import only: ${listed.join(', ') || 'itself'}.`,
    severity: 'error',
    from: {
      path: home,
      pathNot: Object.keys(COMPOSITIONS)
        .map(filePattern)
        .filter((file) => file !== home),
    },
    to: { pathNot: allowed, ...(node ? { dependencyTypesNot: ['core'] } : {}) },
  };
}

function filePattern(file) {
  return `^src/${file.replaceAll('.', '\\.')}$`;
}

/** A package where npm put it; a workspace's package resolves to its folder under packages/. */
function packagePatterns(name) {
  // A workspace goes by its bare name until it is built for the first time.
  if (name === '*') return ['(^|/)node_modules/', '^packages/', `^(${Object.keys(WORKSPACES).join('|')})$`];
  const path = name.endsWith('/*') ? name.slice(0, -1) : `${name}/`;
  return [`(^|/)node_modules/${path.replaceAll('.', '\\.')}`];
}
