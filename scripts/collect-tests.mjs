// Stands for node:test in the bundle of bundle-core-tests.mjs: tests are kept, in order, and run by mutation-runner.mjs.
const collected = (globalThis.collectedTests ??= []);
const path = [];

export function describe(name, ...rest) {
  path.push(name);
  try {
    rest.at(-1)();
  } finally {
    path.pop();
  }
}

export function test(name, ...rest) {
  collected.push({ id: [...path, name].join(' > '), run: rest.at(-1) });
}
