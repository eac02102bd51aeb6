import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  approvalStatement,
  decidersOf,
  decisionId,
  formValues,
  judgeDecision,
  problemOfShape,
  SIGNATURE_NAMESPACE,
  tallyDecisions,
  type ApprovalDecision,
  type Approver,
  type DecisionSignature,
  type Gate,
  type RecordedDecision,
} from '../../src/core/approval.js';
import { digestOfText } from '../../src/core/digest.js';
import { verifySignature } from '../../src/core/verify-signature.js';

const DIGEST = 'd'.repeat(64);
const KEY = 'a'.repeat(64);
const person = (name: string, ...keys: readonly string[]): Approver => ({ name, keys });
const gate = (given: Partial<Gate> = {}): Gate => ({
  ...{ name: 'go-live', digest: DIGEST, openedAtMs: 0, quorum: 1, allowUnverified: true, form: {} },
  ...given,
});
const says = (by: string, given: Partial<ApprovalDecision> = {}): ApprovalDecision => ({
  ...{ gate: 'go-live', digest: DIGEST, decision: 'approve', by },
  ...given,
});
const counted = (
  by: string,
  decision: 'approve' | 'reject',
  given: Partial<ApprovalDecision> = {},
): RecordedDecision => ({
  ...says(by, { decision, ...given }),
  ...{ id: by, callId: 'c', receivedAtMs: 0, verified: false },
});
interface Judged {
  readonly before?: readonly RecordedDecision[];
  readonly nowMs?: number;
  readonly fits?: boolean;
}
const judge = (
  of: Gate,
  decision: ApprovalDecision,
  { before = [], nowMs = 1_000, fits = true }: Judged = {},
) => {
  const verdict = judgeDecision(of, {
    decision,
    executionId: 'exec',
    counted: before,
    nowMs,
    verify: () => fits,
  });
  return 'refusal' in verdict ? verdict.refusal : verdict.verified;
};
const signed = (key = KEY): { readonly signature: DecisionSignature } => ({
  signature: { scheme: 'ed25519', key, value: 'b'.repeat(128) },
});

describe('a decision', () => {
  const people = [person('ana', KEY), person('ben')];
  for (const [what, of, decision, judged, expected] of [
    ['of anybody counts where nobody is named', gate(), says('eve'), {}, false],
    [
      'on other bytes is refused',
      gate(),
      says('ana', { digest: 'e'.repeat(64) }),
      {},
      'The decision on "go-live" is for digest eeeeeeeeeeee; what waits has dddddddddddd. Look at it again, then decide.',
    ],
    [
      'a moment before the gate ends counts',
      gate({ expiresAtMs: 1_000 }),
      says('ana'),
      { nowMs: 999 },
      false,
    ],
    [
      'when the gate has ended is refused',
      gate({ expiresAtMs: 1_000 }),
      says('ana'),
      { nowMs: 1_000 },
      'Approval "go-live" expired at 1970-01-01T00:00:01.000Z.',
    ],
    [
      'of the one who started the run is refused',
      gate({ excluded: 'ana' }),
      says('ana'),
      {},
      '"ana" started the run and may not decide on "go-live". Ask somebody else.',
    ],
    ['of somebody else than the starter counts', gate({ excluded: 'ana' }), says('ben'), {}, false],
    [
      'of somebody who is not named is refused with those who are',
      gate({ approvers: people }),
      says('eve'),
      {},
      '"eve" may not decide on "go-live"; these may: ana, ben.',
    ],
    [
      'where nobody may decide is refused',
      gate({ approvers: [] }),
      says('eve'),
      {},
      '"eve" may not decide on "go-live"; these may: nobody.',
    ],
    [
      'of one person counts once',
      gate({ quorum: 2 }),
      says('ana', { decision: 'reject' }),
      { before: [counted('ana', 'approve')] },
      '"ana" has decided on "go-live" already: approve. A person counts once.',
    ],
    [
      'of another person counts too',
      gate({ quorum: 2 }),
      says('ben'),
      { before: [counted('ana', 'approve')] },
      false,
    ],
    [
      'without a signature is refused where the gate asks for one, with the command that signs',
      gate({ approvers: people, allowUnverified: false }),
      says('ana', { decision: 'reject' }),
      {},
      'The decision of "ana" on "go-live" is not signed, and the gate asks for it. Decide with: anneal reject RUN go-live --key FILE',
    ],
    [
      'that is signed with a listed key is verified',
      gate({ approvers: people }),
      says('ana', signed()),
      {},
      true,
    ],
    [
      'whose signature does not fit is refused, also where none is asked',
      gate({ approvers: people }),
      says('ana', signed()),
      { fits: false },
      'The signature does not fit the decision of "ana" on "go-live": it was changed after it was signed, or signed for another run.',
    ],
    [
      'that is signed with a key of nobody counts unverified where none is listed and none is asked',
      gate({ approvers: people }),
      says('ben', signed()),
      {},
      false,
    ],
    [
      'that is signed with another key than the listed one is refused',
      gate({ approvers: people }),
      says('ana', signed('c'.repeat(64))),
      {},
      'The decision on "go-live" is signed with a key that anneal.yaml does not list for "ana". Sign with a listed key, or add this one and start the run again.',
    ],
    [
      'that is signed with a key of nobody is refused where a verified one is asked',
      gate({ approvers: people, allowUnverified: false }),
      says('ben', signed()),
      {},
      'The decision on "go-live" is signed with a key that anneal.yaml does not list for "ben". Sign with a listed key, or add this one and start the run again.',
    ],
  ] as const)
    test(what, () => assert.equal(judge(of, decision, judged), expected));

  test('with a form must have what the form asks, and the same as those before', () => {
    const of = gate({ quorum: 2, form: { share: { type: 'number', min: 0, max: 1, default: 0.5 } } });
    assert.equal(judge(of, says('ana', { form: { share: 0.1 } })), false);
    assert.equal(judge(of, says('ana')), false);
    assert.equal(
      judge(of, says('ana', { form: { share: 2, more: 1 } })),
      'The form of "go-live" has no parameter "more"; it takes "share". Parameter "share" of the form of "go-live" is 2; it must be a number from 0 to 1 (default 0.5).'.replace(
        ' (default 0.5)',
        '',
      ),
    );
    // Who rejects fills in nothing.
    assert.equal(judge(of, says('ana', { decision: 'reject', form: { share: 2 } })), false);
    const before = [
      counted('x', 'reject', { form: { share: 0.9 } }),
      counted('ben', 'approve', { form: { share: 0.1 } }),
    ];
    assert.equal(judge(of, says('ana', { form: { share: 0.1 } }), { before }), false);
    assert.equal(
      judge(of, says('ana'), { before }),
      '"ben" approved "go-live" with {"share":0.1}, this says {"share":0.5}. Approve the same values, or reject.',
    );
    assert.deepEqual(formValues(of, undefined), { share: 0.5 });
    assert.deepEqual(formValues(of, { share: 5 }), {});
  });

  test('is judged by what was signed: run, gate, digest, verdict, person, words, values and time', () => {
    const statement = approvalStatement('exec', says('ana', { comment: 'ok', form: { a: 1 }, atMs: 5 }));
    assert.equal(
      statement,
      `anneal-approval/1\n{"atMs":5,"by":"ana","comment":"ok","decision":"approve","digest":"${DIGEST}","form":{"a":1},"gate":"go-live","run":"exec"}\n`,
    );
    const seen: string[] = [];
    const verify = (text: string) => seen.push(text) > 0;
    const decision = says('ana', signed());
    judgeDecision(gate(), { decision, executionId: 'exec', counted: [], nowMs: 0, verify });
    assert.deepEqual(seen, [approvalStatement('exec', decision)]);
    assert.equal(
      decisionId('exec', decision),
      digestOfText(approvalStatement('exec', decision)).slice(0, 40),
    );
    assert.notEqual(decisionId('exec', decision), decisionId('other', decision));
  });
});

describe('those who may decide', () => {
  const names = (of: Gate, nowMs: number) => decidersOf(of, nowMs)?.map(({ name }) => name);
  const escalation = { atMs: 100, approvers: [person('ana'), person('boss')] };

  test('are more from the moment of the escalation on, and each once', () => {
    const of = gate({ approvers: [person('ana'), person('ben')], escalation });
    assert.deepEqual(names(of, 99), ['ana', 'ben']);
    assert.deepEqual(names(of, 100), ['ana', 'ben', 'boss']);
    assert.deepEqual(names(gate({ approvers: [person('ana')] }), 1e9), ['ana']);
  });

  test('are everybody where nobody is named, also later', () => {
    assert.equal(names(gate({ escalation }), 1e9), undefined);
  });
});

describe('what decisions come to', () => {
  const people = (...of: readonly string[]) => of.map((name) => person(name));
  const yes = (by: string) => counted(by, 'approve');
  const no = (by: string) => counted(by, 'reject');
  for (const [what, of, decisions, expected] of [
    ['none wait', gate(), [], 'waiting'],
    ['one approves where one is asked', gate(), [yes('a')], 'approved'],
    ['one of two waits', gate({ quorum: 2 }), [yes('a')], 'waiting'],
    ['two of two approve', gate({ quorum: 2 }), [yes('a'), yes('b')], 'approved'],
    ['one rejection rejects', gate({ quorum: 2 }), [yes('a'), no('b')], 'rejected'],
    ['a rejection of somebody without a veto waits for others', gate({ veto: ['b'] }), [no('a')], 'waiting'],
    ['a rejection of somebody with a veto rejects', gate({ veto: ['b'] }), [no('a'), no('b')], 'rejected'],
    ['a rejection is no approval', gate({ veto: ['b'], quorum: 2 }), [yes('c'), no('a')], 'waiting'],
    [
      'enough approve beside one',
      gate({ veto: ['b'], quorum: 2 }),
      [yes('c'), no('a'), yes('d')],
      'approved',
    ],
    [
      'those who are left are too few',
      gate({ veto: [], quorum: 2, approvers: people('a', 'b') }),
      [no('a')],
      'rejected',
    ],
    [
      'those who are left are just enough',
      gate({ veto: [], quorum: 1, approvers: people('a', 'b') }),
      [no('a')],
      'waiting',
    ],
    [
      'the starter is none of those who are left',
      gate({ veto: [], quorum: 1, approvers: people('a', 'b'), excluded: 'b' }),
      [no('a')],
      'rejected',
    ],
    [
      'before the escalation others may come',
      gate({ veto: [], approvers: people('a'), escalation: { atMs: 51, approvers: people('boss') } }),
      [no('a')],
      'waiting',
    ],
    [
      'after the escalation its people count',
      gate({ veto: [], approvers: people('a'), escalation: { atMs: 50, approvers: people('boss') } }),
      [no('a')],
      'waiting',
    ],
    [
      'after the escalation nobody else comes',
      gate({ veto: [], approvers: people('a'), escalation: { atMs: 50, approvers: people('boss') } }),
      [no('a'), no('boss')],
      'rejected',
    ],
  ] as const)
    test(`${what}: ${expected}`, () => assert.equal(tallyDecisions(of, decisions, 50), expected));

  test('does not depend on their order, and an approval of enough stays one', () => {
    const decision = fc.record({ by: fc.constantFrom('a', 'b', 'c', 'd'), yes: fc.boolean() });
    fc.assert(
      fc.property(
        fc.uniqueArray(decision, { selector: ({ by }) => by }),
        fc.integer({ min: 1, max: 3 }),
        fc.option(fc.subarray(['a', 'b']), { nil: undefined }),
        (given, quorum, veto) => {
          const of = gate({ quorum, ...(veto && { veto }) });
          const decisions = given.map(({ by, yes }) => counted(by, yes ? 'approve' : 'reject'));
          const found = tallyDecisions(of, decisions, 0);
          assert.equal(tallyDecisions(of, [...decisions].reverse(), 0), found);
          if (found === 'approved') assert.ok(given.filter(({ yes }) => yes).length >= quorum);
        },
      ),
    );
  });
});

describe('the shape of a decision', () => {
  const whole = { ...says('ana'), comment: 'ok', form: {}, atMs: 1, ...signed() };
  test('that is whole has no problem, nor has the least one', () => {
    assert.equal(problemOfShape(whole), undefined);
    assert.equal(problemOfShape(says('ana', { decision: 'reject' })), undefined);
    assert.equal(problemOfShape(says('x'.repeat(200), { comment: 'x'.repeat(4_000) })), undefined);
    assert.equal(
      problemOfShape({ ...whole, signature: { ...whole.signature, scheme: 'sshsig' } }),
      undefined,
    );
  });

  const SIGNATURE =
    'The signature of a decision has scheme "ed25519" or "sshsig", a key of 32 and a value of 64 bytes in lower-case hex.';
  const text = (name: string) => `A decision needs "${name}", a text of 1 to 200 characters.`;
  for (const [given, problem] of [
    [null, 'A decision is one JSON object with gate, digest, decision and by.'],
    ['approve', 'A decision is one JSON object with gate, digest, decision and by.'],
    [{ ...whole, gate: '' }, text('gate')],
    [{ ...whole, digest: 5 }, text('digest')],
    [{ ...whole, by: 'x'.repeat(201) }, text('by')],
    [{ ...whole, decision: 'yes' }, 'A decision needs "decision": "approve" or "reject".'],
    [{ ...whole, decision: undefined }, 'A decision needs "decision": "approve" or "reject".'],
    [{ ...whole, comment: 5 }, 'The comment of a decision is a text of at most 4000 characters.'],
    [
      { ...whole, comment: 'x'.repeat(4_001) },
      'The comment of a decision is a text of at most 4000 characters.',
    ],
    [{ ...whole, form: 'x' }, 'The form of a decision is one JSON object.'],
    [{ ...whole, form: null }, 'The form of a decision is one JSON object.'],
    [{ ...whole, atMs: 'now' }, 'The "atMs" of a decision is a number: milliseconds since 1970.'],
    [{ ...whole, signature: null }, SIGNATURE],
    [{ ...whole, signature: { ...whole.signature, scheme: 'rsa' } }, SIGNATURE],
    [{ ...whole, signature: { ...whole.signature, key: 'a'.repeat(63) } }, SIGNATURE],
    [{ ...whole, signature: { ...whole.signature, key: `${'a'.repeat(63)}A` } }, SIGNATURE],
    [{ ...whole, signature: { ...whole.signature, key: `-${'a'.repeat(63)}` } }, SIGNATURE],
    [{ ...whole, signature: { ...whole.signature, key: 5 } }, SIGNATURE],
    [{ ...whole, signature: { ...whole.signature, value: 'b'.repeat(64) } }, SIGNATURE],
  ] as const)
    test(`that is not is refused: ${problem.slice(0, 50)}`, () =>
      assert.equal(problemOfShape(given), problem));
});

describe('a signature', () => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const key = publicKey.export({ type: 'spki', format: 'der' }).subarray(-32).toString('hex');
  const statement = approvalStatement('exec', says('ana', { comment: 'é' }));

  test('over the statement fits it, and nothing else', () => {
    const value = sign(null, Buffer.from(statement), privateKey).toString('hex');
    const signature: DecisionSignature = { scheme: 'ed25519', key, value };
    assert.equal(verifySignature(statement, signature), true);
    assert.equal(verifySignature(`${statement} `, signature), false);
    assert.equal(verifySignature(statement, { ...signature, scheme: 'sshsig' }), false);
    assert.equal(verifySignature(statement, { ...signature, value: 'b'.repeat(128) }), false);
    assert.equal(verifySignature(statement, { ...signature, key: 'zz' }), false);
  });

  test('of ssh-keygen is over what its protocol says', () => {
    const text = (bytes: Uint8Array | string) => {
      const content = Buffer.from(bytes);
      const length = Buffer.alloc(4);
      length.writeUInt32BE(content.length);
      return Buffer.concat([length, content]);
    };
    const hash = createHash('sha512').update(statement).digest();
    const data = Buffer.concat([Buffer.from('SSHSIG'), text('anneal'), text(''), text('sha512'), text(hash)]);
    const value = sign(null, data, privateKey).toString('hex');
    assert.equal(SIGNATURE_NAMESPACE, 'anneal');
    assert.equal(verifySignature(statement, { scheme: 'sshsig', key, value }), true);
    assert.equal(verifySignature(statement, { scheme: 'ed25519', key, value }), false);
  });
});
