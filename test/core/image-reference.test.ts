import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  imageOn,
  isPinnedImage,
  parseImageReference,
  pinImage,
  problemOfImage,
} from '../../src/core/image-reference.js';

const DIGEST = `sha256:${'0123456789abcdef'.repeat(4)}`;
const HUB = 'registry-1.docker.io';

describe('the name of an image', () => {
  for (const [text, expected] of [
    ['python', { name: 'python', registry: HUB, repository: 'library/python', tag: 'latest' }],
    ['python:3.12-slim', { name: 'python', registry: HUB, repository: 'library/python', tag: '3.12-slim' }],
    ['team/train:1', { name: 'team/train', registry: HUB, repository: 'team/train', tag: '1' }],
    [
      'docker.io/python',
      { name: 'docker.io/python', registry: HUB, repository: 'library/python', tag: 'latest' },
    ],
    ['index.docker.io/a/b', { name: 'index.docker.io/a/b', registry: HUB, repository: 'a/b', tag: 'latest' }],
    [
      'ghcr.io/team/train_it/on--gpu:v1.2_x',
      {
        name: 'ghcr.io/team/train_it/on--gpu',
        registry: 'ghcr.io',
        repository: 'team/train_it/on--gpu',
        tag: 'v1.2_x',
      },
    ],
    ['localhost/a', { name: 'localhost/a', registry: 'localhost', repository: 'a', tag: 'latest' }],
    [
      'localhost:5000/a:b',
      { name: 'localhost:5000/a', registry: 'localhost:5000', repository: 'a', tag: 'b' },
    ],
    ['[::1]:5000/a:b', { name: '[::1]:5000/a', registry: '[::1]:5000', repository: 'a', tag: 'b' }],
    ['Registry/a', { name: 'Registry/a', registry: 'Registry', repository: 'a', tag: 'latest' }],
    [`r.io/a@${DIGEST}`, { name: 'r.io/a', registry: 'r.io', repository: 'a', digest: DIGEST }],
    [`r.io/a:b@${DIGEST}`, { name: 'r.io/a', registry: 'r.io', repository: 'a', tag: 'b', digest: DIGEST }],
    [`a:${'x'.repeat(128)}`, { name: 'a', registry: HUB, repository: 'library/a', tag: 'x'.repeat(128) }],
  ] as const)
    test(`${text.slice(0, 60)} is read as Docker reads it`, () =>
      assert.deepEqual(parseImageReference(text), expected));

  for (const text of [
    '',
    'Python',
    'a b',
    'a/',
    '/a',
    'a//b',
    'a:',
    'a:b:c',
    'a:-b',
    `a:${'x'.repeat(129)}`,
    'a@sha256:12',
    `a@sha512:${'0'.repeat(64)}`,
    `a@${DIGEST}0`,
    `a@${DIGEST}@${DIGEST}`,
    `a@x${DIGEST}`,
    'r.io:x/a',
    '-r.io/a',
    'r..io/a',
    'r.io-/a',
    'r.io/A',
    'r.io/a___b',
    'r.io/-a',
    'r.io/a-',
    'https://r.io/a',
  ])
    test(`"${text.slice(0, 40)}" is none`, () => {
      assert.equal(parseImageReference(text), undefined);
      assert.equal(isPinnedImage(text), false);
      assert.equal(pinImage(text, { [text]: { digest: DIGEST } }), text);
    });

  test('is put together again from what was read, whatever it is', () => {
    const part = fc.stringMatching(/^[a-z0-9]{1,5}([._-][a-z0-9]{1,5})?$/);
    const host = fc.option(fc.constantFrom('r.io', 'r.io:80', 'localhost', '127.0.0.1:5000'), {
      nil: undefined,
    });
    const tag = fc.option(fc.stringMatching(/^\w[\w.-]{0,9}$/), { nil: undefined });
    const digest = fc.option(fc.constant(DIGEST), { nil: undefined });
    fc.assert(
      fc.property(
        host,
        fc.array(part, { minLength: 1, maxLength: 3 }),
        tag,
        digest,
        (host, path, tag, digest) => {
          // Without a host, what looks like one is one.
          fc.pre(host !== undefined || path.length === 1 || !/[.:]/.test(path[0] ?? ''));
          const name = [...(host === undefined ? [] : [host]), ...path].join('/');
          const read = parseImageReference(
            `${name}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`,
          );
          assert.equal(read?.name, name);
          assert.equal(read.digest, digest);
          assert.equal(read.tag, tag ?? (digest === undefined ? 'latest' : undefined));
          assert.equal(read.registry, host ?? HUB);
          assert.ok(read.repository.endsWith(path.join('/')));
        },
      ),
    );
  });
});

describe('an image that a run begins with', () => {
  const images = { 'a:1': { digest: DIGEST }, 'r.io/b:1': { problem: 'nobody answered' } };

  test('is run by its digest where that is known, else by its name', () => {
    assert.equal(pinImage('a:1', images), `a@${DIGEST}`);
    assert.equal(pinImage('r.io/b:1', images), 'r.io/b:1');
    assert.equal(pinImage('c', images), 'c');
    assert.equal(pinImage('a:1', undefined), 'a:1');
    assert.equal(pinImage(`a:1@${DIGEST}`, images), `a:1@${DIGEST}`);
  });

  test('is that of the pool where the step names none', () => {
    const known = { images, poolImages: { gpu: 'a:1' } };
    assert.equal(imageOn('gpu', undefined, known), `a@${DIGEST}`);
    assert.equal(imageOn('gpu', 'r.io/b:1', known), 'r.io/b:1');
    assert.equal(imageOn('cpu', undefined, known), undefined);
    assert.equal(imageOn('cpu', undefined, {}), undefined);
    assert.equal(imageOn('cpu', 'a:1', {}), 'a:1');
  });

  test('has a problem where it is not known which one that is', () => {
    assert.equal(problemOfImage('a:1', images), undefined);
    assert.equal(problemOfImage(`x@${DIGEST}`, undefined), undefined);
    assert.equal(problemOfImage('r.io/b:1', images), 'nobody answered');
    assert.equal(problemOfImage('c', images), 'no registry was asked for it');
    assert.equal(problemOfImage('c', undefined), 'no registry was asked for it');
  });

  test('is pinned only by a digest', () => {
    assert.deepEqual(['a', 'a:1', `a@${DIGEST}`, `a:1@${DIGEST}`].map(isPinnedImage), [
      false,
      false,
      true,
      true,
    ]);
  });
});
