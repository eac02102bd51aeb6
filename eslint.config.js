import { fileURLToPath } from 'node:url';
import js from '@eslint/js';
import { defineConfig } from 'eslint/config';
import { createNodeResolver, importX } from 'eslint-plugin-import-x';
import tseslint from 'typescript-eslint';

const SOURCES = ['src/**/*.ts', 'packages/*/src/**/*.ts'];
const SANDBOX = ['src/core/**/*.ts', 'src/pipeline/**/*.ts', 'src/workflows/**/*.ts'];
const LOOSE = ['test/**/*.ts', 'packages/*/test/**/*.ts', 'examples/**/*.ts', 'bench/**/*.ts'];
const PLAIN_JS = ['**/*.js', '**/*.mjs', '**/*.cjs'];

const DOUBLE_CAST = {
  selector: 'TSAsExpression > TSAsExpression > TSUnknownKeyword.typeAnnotation',
  message:
    '`as unknown as` switches the compiler off. Parse or narrow the value; only src/adapters may cast a vendor type.',
};
const BARE_DATE = {
  selector: "NewExpression[callee.name='Date'][arguments.length=0]",
  message: 'The clock is a dependency: take `now` from deps or from the runtime.',
};
const SANDBOX_GLOBALS = [
  'process',
  'Buffer',
  'console',
  'crypto',
  'fetch',
  'performance',
  'require',
  'setImmediate',
  'setInterval',
  'FinalizationRegistry',
  'WeakRef',
];
// Kept by hand: the `globals` package would be one more dependency for twenty names.
const NODE_GLOBALS = [
  'AbortController',
  'AbortSignal',
  'Buffer',
  'TextDecoder',
  'TextEncoder',
  'URL',
  'URLSearchParams',
  'clearInterval',
  'clearTimeout',
  'console',
  'fetch',
  'performance',
  'process',
  'queueMicrotask',
  'setImmediate',
  'setInterval',
  'setTimeout',
  'structuredClone',
];

export default defineConfig(
  {
    ignores: ['**/dist/', '**/node_modules/', '**/.anneal/', '.tools/', 'python/', 'test/**/histories/'],
  },
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  js.configs.recommended,
  ...tseslint.configs.recommended.map((config) => ({ ...config, files: ['**/*.ts'] })),
  {
    name: 'anneal/typescript',
    files: ['**/*.ts'],
    plugins: { 'import-x': importX },
    languageOptions: {
      // The service follows the references of tsconfig.json, so each file is judged by its own compiler project.
      parserOptions: { projectService: true, tsconfigRootDir: fileURLToPath(new URL('.', import.meta.url)) },
    },
    settings: {
      'import-x/parsers': { '@typescript-eslint/parser': ['.ts'] },
      'import-x/resolver-next': [
        createNodeResolver({ extensions: ['.ts', '.js'], extensionAlias: { '.js': ['.ts', '.js'] } }),
      ],
    },
    rules: {
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-floating-promises': [
        'error',
        {
          // node:test collects what these return by itself.
          allowForKnownSafeCalls: [
            { from: 'package', package: 'node:test', name: ['describe', 'it', 'suite', 'test'] },
          ],
        },
      ],
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/no-non-null-assertion': 'error',
      '@typescript-eslint/no-unnecessary-type-assertion': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/only-throw-error': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      'import-x/no-cycle': ['error', { ignoreExternal: true }],
      'no-restricted-syntax': ['error', DOUBLE_CAST],
    },
  },
  {
    name: 'anneal/sources',
    files: SOURCES,
    rules: {
      complexity: ['error', 20],
      eqeqeq: 'error',
      'import-x/no-default-export': 'error',
      'max-depth': ['error', 4],
      'max-lines': ['error', { max: 300, skipBlankLines: true, skipComments: true }],
      'max-lines-per-function': ['error', { max: 60, skipBlankLines: true, skipComments: true }],
      'max-params': ['error', 3],
      'no-console': 'error',
    },
  },
  {
    name: 'anneal/sandbox',
    files: SANDBOX,
    rules: { 'no-restricted-globals': ['error', ...SANDBOX_GLOBALS] },
  },
  {
    // Workflows are left out: there Temporal's own clock and random numbers stand behind these names.
    name: 'anneal/pure',
    files: ['src/core/**/*.ts', 'src/pipeline/**/*.ts'],
    rules: {
      'no-restricted-properties': [
        'error',
        { object: 'Math', property: 'random', message: 'Take `random` from deps or from the runtime.' },
        { object: 'Date', property: 'now', message: 'Take `now` from deps or from the runtime.' },
      ],
      'no-restricted-syntax': ['error', DOUBLE_CAST, BARE_DATE],
    },
  },
  { name: 'anneal/adapters', files: ['src/adapters/**/*.ts'], rules: { 'no-restricted-syntax': 'off' } },
  { name: 'anneal/cli', files: ['src/cli/**/*.ts'], rules: { 'no-console': 'off' } },
  {
    name: 'anneal/junk-drawers',
    files: ['**/{utils,helpers,common,misc,types}.ts', '**/{utils,helpers,common,misc,types}/**/*.ts'],
    rules: {
      'no-restricted-syntax': [
        'error',
        {
          selector: 'Program',
          message: 'Name the file after what it holds, not utils, helpers, common, misc or types.',
        },
      ],
    },
  },
  {
    // Pipelines, benchmarks and tests read as stories: length is theirs to choose, promises and types are not.
    name: 'anneal/loose',
    files: LOOSE,
    rules: { 'max-lines': ['error', { max: 600, skipBlankLines: true, skipComments: true }] },
  },
  {
    name: 'anneal/plain-js',
    files: PLAIN_JS,
    languageOptions: { globals: Object.fromEntries(NODE_GLOBALS.map((name) => [name, 'readonly'])) },
    rules: { 'max-lines': ['error', { max: 400, skipBlankLines: true, skipComments: true }] },
  },
  {
    name: 'anneal/commonjs',
    files: ['**/*.cjs'],
    languageOptions: { sourceType: 'commonjs' },
  },
);
