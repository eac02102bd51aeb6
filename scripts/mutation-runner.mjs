// The test runner that Stryker uses on src/core: no process and no loading of modules for each mutant, which would take days in all. The
// bundled tests are compiled once and evaluated anew for each mutant, so that its constants, too, are those of the mutant.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import vm from 'node:vm';
import fc from 'fast-check';

// Every mutant meets the same made-up values, or the score would be another each time; the first counterexample is enough.
fc.configureGlobal({ seed: 20_261_123, endOnFailure: true });

/** As @stryker-mutator/api/test-runner names them. */
const PASSED = 0;
const FAILED = 1;

class CoreTestRunner {
  capabilities() {
    return { reloadEnvironment: true };
  }

  init() {
    const source = readFileSync('core-tests.cjs', 'utf8');
    const script = new vm.Script(`(function (require) {${source}\n})`, { filename: 'core-tests.cjs' });
    const require = createRequire(import.meta.url);
    this.collect = () => {
      globalThis.collectedTests = [];
      script.runInThisContext()(require);
      return globalThis.collectedTests;
    };
  }

  async dryRun() {
    globalThis.__stryker__ = {};
    const tests = [];
    for (const { id, run } of this.collect()) {
      globalThis.__stryker__.currentTestId = id;
      const startedAt = performance.now();
      const failure = await failureOf(run);
      const timeSpentMs = performance.now() - startedAt;
      const result = { id, name: id, timeSpentMs };
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
        : { status: 'killed', failureMessage, killedBy, nrOfTests };
    let tests;
    try {
      tests = this.collect();
    } catch (error) {
      return end(String(error), ['loading']);
    }
    for (const { id, run } of tests) {
      if (testFilter !== undefined && !testFilter.includes(id)) continue;
      nrOfTests += 1;
      const failure = await failureOf(run);
      if (failure !== undefined) return end(failure, [id]);
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
