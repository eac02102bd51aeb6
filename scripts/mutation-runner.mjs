// The test runner that Stryker uses on src/core: no process and no loading of modules for each mutant, which would take hours. The bundled
// test files are compiled once; those that hold a mutant are evaluated anew for it, so that its constants, too, are those of the mutant.
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import vm from 'node:vm';
import fc from 'fast-check';

// Every mutant meets the same made-up values, or the score would be another each time; the first counterexample is enough.
fc.configureGlobal({ seed: 20_261_123, endOnFailure: true });

/** What bundle-core-tests.mjs writes. */
const FOLDER = 'core-tests';
/** As @stryker-mutator/api/test-runner names them. */
const PASSED = 0;
const FAILED = 1;

class CoreTestRunner {
  capabilities() {
    return { reloadEnvironment: true };
  }

  init() {
    const require = createRequire(import.meta.url);
    const files = readdirSync(FOLDER, { recursive: true }).filter((file) => file.endsWith('.js'));
    this.bundles = files.map((file) => {
      const source = readFileSync(`${FOLDER}/${file}`, 'utf8');
      const script = new vm.Script(`(function (require) {${source}\n})`, { filename: file });
      const collect = () => {
        globalThis.collectedTests = [];
        script.runInThisContext()(require);
        return globalThis.collectedTests.map(({ id, run }) => ({ id: `${file}: ${id}`, run }));
      };
      // Bundling numbers the functions of each module that Stryker adds.
      const held = new Set([...source.matchAll(/stryMutAct_\w+\("(\d+)"\)/g)].map(([, mutant]) => mutant));
      const test = readFileSync(`test/${file.replace(/js$/, 'ts')}`, 'utf8');
      return {
        collect,
        has: (mutant) => held.has(mutant),
        isAbout: (name) => test.includes(`/core/${name}.js'`),
      };
    });
  }

  /** The bundles that hold a mutant, those first whose tests import its file themselves. */
  bundlesOf({ id, fileName }) {
    const name = path.basename(fileName, '.ts');
    const rank = (bundle) => (bundle.isAbout(name) ? 0 : 1);
    return this.bundles.filter(({ has }) => has(id)).sort((a, b) => rank(a) - rank(b));
  }

  async dryRun() {
    globalThis.__stryker__ = {};
    const tests = [];
    for (const { id, run } of this.bundles.flatMap(({ collect }) => collect())) {
      globalThis.__stryker__.currentTestId = id;
      const startedAt = performance.now();
      const failure = await failureOf(run);
      const result = { id, name: id, timeSpentMs: performance.now() - startedAt };
      tests.push(
        failure === undefined
          ? { ...result, status: PASSED }
          : { ...result, status: FAILED, failureMessage: failure },
      );
    }
    return { status: 'complete', tests, mutantCoverage: globalThis.__stryker__.mutantCoverage };
  }

  async mutantRun({ activeMutant, testFilter, hitLimit }) {
    globalThis.__stryker__ = { activeMutant: activeMutant.id, hitCount: 0, hitLimit };
    let nrOfTests = 0;
    const end = (failureMessage, killedBy) =>
      globalThis.__stryker__.hitCount > (hitLimit ?? Infinity)
        ? { status: 'timeout', reason: 'it runs on and on' }
        : { status: 'killed', failureMessage, killedBy: [killedBy], nrOfTests };
    for (const { collect } of this.bundlesOf(activeMutant)) {
      let tests;
      try {
        tests = collect();
      } catch (error) {
        return end(String(error), 'loading');
      }
      for (const { id, run } of tests) {
        if (testFilter !== undefined && !testFilter.includes(id)) continue;
        nrOfTests += 1;
        const failure = await failureOf(run);
        if (failure !== undefined) return end(failure, id);
      }
    }
    return { status: 'survived', nrOfTests };
  }

  dispose() {}
}

async function failureOf(run) {
  try {
    await run();
    return undefined;
  } catch (error) {
    return String(error?.message ?? error);
  }
}

export const strykerPlugins = [{ kind: 'TestRunner', name: 'core', injectableClass: CoreTestRunner }];
