import { digestOfText } from './digest.js';
import { canonicalJson, type Json } from './json.js';
import { checkParameters, type ParameterSchema } from './schema.js';

/** Somebody who may decide, as anneal.yaml lists them. */
export interface Approver {
  readonly name: string;
  /** Raw Ed25519 public keys, lower-case hex. Without one, this person's decisions are unverified. */
  readonly keys: readonly string[];
  readonly email?: string;
}

/** An Ed25519 signature of {@link approvalStatement}. */
export interface DecisionSignature {
  /** `sshsig`: as `ssh-keygen -Y sign -n anneal` makes it (OpenSSH PROTOCOL.sshsig, sha512); `ed25519`: of the statement itself (RFC 8032). */
  readonly scheme: 'ed25519' | 'sshsig';
  /** The public key, lower-case hex. */
  readonly key: string;
  /** 64 bytes, lower-case hex. */
  readonly value: string;
}

/** A person's decision; the argument of the update and signal `decide`. */
export interface ApprovalDecision {
  readonly gate: string;
  /** Digest of what the person saw. */
  readonly digest: string;
  readonly decision: 'approve' | 'reject';
  readonly by: string;
  readonly comment?: string;
  /** Values of the gate's form. */
  readonly form?: { readonly [name: string]: Json };
  /** When it was made, by the clock of whoever made it; part of what is signed. */
  readonly atMs?: number;
  readonly signature?: DecisionSignature;
}

/** A decision that counted, as the run keeps it: the line of the audit. */
export interface RecordedDecision extends ApprovalDecision {
  /** Identity of the decision: the same one sent again has the same id. */
  readonly id: string;
  /** Call of the gate that it counted for. */
  readonly callId: string;
  readonly receivedAtMs: number;
  /** Whether a listed key of this person signed it. */
  readonly verified: boolean;
  /** The run that it was made in, where this one takes it over: what is signed names that run. */
  readonly keptFrom?: { readonly runId: string; readonly executionId: string };
}

/** A decision that came by signal and did not count: nobody waited for an answer, so the run shows why. */
export interface RefusedDecision {
  readonly gate: string;
  readonly by: string;
  readonly reason: string;
  readonly atMs: number;
}

/** A gate as it opened: all that is needed to judge decisions, fixed for its life. */
export interface Gate {
  readonly name: string;
  readonly digest: string;
  readonly openedAtMs: number;
  readonly expiresAtMs?: number;
  /** How many different people must approve. */
  readonly quorum: number;
  /** Absent: anybody. */
  readonly approvers?: readonly Approver[];
  /** From then on these may decide too. */
  readonly escalation?: { readonly atMs: number; readonly approvers: readonly Approver[] };
  /** The run's starter, where they may not decide. */
  readonly excluded?: string;
  /** They may not decide, and nothing proves who they are: the quorum is one higher than the code says. */
  readonly startUnproven?: true;
  /** People whose rejection ends the gate. Absent: anybody's does. */
  readonly veto?: readonly string[];
  /** Decisions without a signature count. */
  readonly allowUnverified: boolean;
  readonly form: { readonly [name: string]: ParameterSchema };
}

/** Whether the signature is of that text by that key. Synchronous: it is asked by an update's validator. */
export type SignatureVerifier = (statement: string, signature: DecisionSignature) => boolean;

/** Namespace of signatures made with `ssh-keygen -Y sign`. */
export const SIGNATURE_NAMESPACE = 'anneal';

/**
 * The text that is signed: what is decided, on which bytes, in which run. A signature is worth nothing for another run, gate, digest,
 * verdict, comment or form value.
 * @param executionId of the run: the same over continue-as-new and reset.
 */
export function approvalStatement(executionId: string, decision: ApprovalDecision): string {
  const { gate, digest, decision: verdict, by, comment, form, atMs } = decision;
  return `anneal-approval/1\n${canonicalJson({ run: executionId, gate, digest, decision: verdict, by, comment, form, atMs })}\n`;
}

/** Identity of a decision; its signature is not part of it. */
export function decisionId(executionId: string, decision: ApprovalDecision): string {
  return digestOfText(approvalStatement(executionId, decision)).slice(0, 40);
}

/** What {@link judgeDecision} looks at beside the gate. */
export interface JudgedDecision {
  readonly decision: ApprovalDecision;
  readonly executionId: string;
  /** Those that counted for this gate before. */
  readonly counted: readonly RecordedDecision[];
  readonly nowMs: number;
  readonly verify: SignatureVerifier;
}

/** Whether a well-formed decision counts for a gate: verified or not, or why it is refused. */
export function judgeDecision(
  gate: Gate,
  judged: JudgedDecision,
): { readonly verified: boolean } | { readonly refusal: string } {
  const { decision, counted, nowMs } = judged;
  const { by } = decision;
  if (decision.digest !== gate.digest)
    return refuse(
      `The decision on "${gate.name}" is for digest ${decision.digest.slice(0, 12)}; what waits has ${gate.digest.slice(0, 12)}. Look at it again, then decide.`,
    );
  if (gate.expiresAtMs !== undefined && nowMs >= gate.expiresAtMs)
    return refuse(expiredText(gate.name, gate.expiresAtMs));
  if (by === gate.excluded)
    return refuse(`"${by}" started the run and may not decide on "${gate.name}". Ask somebody else.`);
  const people = decidersOf(gate, nowMs);
  const person = people?.find(({ name }) => name === by);
  if (people && !person)
    return refuse(`"${by}" may not decide on "${gate.name}"; these may: ${namesOf(people)}.`);
  const before = counted.find((earlier) => earlier.by === by);
  if (before)
    return refuse(`"${by}" has decided on "${gate.name}" already: ${before.decision}. A person counts once.`);
  const formProblem = decision.decision === 'approve' ? problemOfForm(gate, decision, counted) : undefined;
  if (formProblem !== undefined) return refuse(formProblem);
  return judgeSignature(gate, judged, person?.keys ?? []);
}

/** Why a decision comes too late. */
export function expiredText(gate: string, expiredAtMs: number): string {
  return `Approval "${gate}" expired at ${new Date(expiredAtMs).toISOString()}.`;
}

/** What the decisions of a gate add up to. */
export function tallyDecisions(
  gate: Gate,
  counted: readonly RecordedDecision[],
  nowMs: number,
): 'approved' | 'rejected' | 'waiting' {
  const rejections = counted.filter(({ decision }) => decision === 'reject');
  const { veto } = gate;
  if (rejections.some(({ by }) => veto === undefined || veto.includes(by))) return 'rejected';
  if (counted.length - rejections.length >= gate.quorum) return 'approved';
  const people = decidersOf(gate, nowMs)?.filter(({ name }) => name !== gate.excluded);
  const escalates = gate.escalation !== undefined && nowMs < gate.escalation.atMs;
  return people && !escalates && people.length - rejections.length < gate.quorum ? 'rejected' : 'waiting';
}

/** Form values of an approval with defaults filled in. */
export function formValues(
  gate: Pick<Gate, 'form' | 'name'>,
  given: ApprovalDecision['form'],
): { readonly [name: string]: Json } {
  const checked = checkParameters(`the form of "${gate.name}"`, gate.form, given);
  return checked.ok ? checked.values : {};
}

/** Who may decide now; undefined: anybody. */
export function decidersOf(gate: Gate, nowMs: number): readonly Approver[] | undefined {
  const { approvers, escalation } = gate;
  if (!approvers || !escalation || nowMs < escalation.atMs) return approvers;
  const known = new Set(approvers.map(({ name }) => name));
  return [...approvers, ...escalation.approvers.filter(({ name }) => !known.has(name))];
}

/** A well-formed decision and nothing else that was sent with it: what the run notes down itself, nobody can send. */
export function plainDecision(sent: ApprovalDecision): ApprovalDecision {
  const { gate, digest, decision, by, comment, form, atMs, signature } = sent;
  return {
    ...{ gate, digest, decision, by },
    ...(comment === undefined ? {} : { comment }),
    ...(form === undefined ? {} : { form }),
    ...(atMs === undefined ? {} : { atMs }),
    ...(signature === undefined
      ? {}
      : { signature: { scheme: signature.scheme, key: signature.key, value: signature.value } }),
  };
}

/** Why a decision can count at no gate: it has a signature, which is not of what it says in that run. */
export function problemOfSignedText(
  executionId: string,
  decision: ApprovalDecision,
  verify: SignatureVerifier,
): string | undefined {
  const { signature, by, gate } = decision;
  return signature === undefined || verify(approvalStatement(executionId, decision), signature)
    ? undefined
    : `The signature does not fit the decision of "${by}" on "${gate}": it was changed after it was signed, or signed for another run.`;
}

/** What is wrong with the shape of a decision, before any gate is looked at. */
export function problemOfShape(decision: unknown): string | undefined {
  if (typeof decision !== 'object' || decision === null)
    return 'A decision is one JSON object with gate, digest, decision and by.';
  const { gate, digest, by, ...rest } = decision as { [name: string]: unknown };
  for (const [name, value] of Object.entries({ gate, digest, by }))
    if (typeof value !== 'string' || value === '' || value.length > NAME_LIMIT)
      return `A decision needs "${name}", a text of 1 to ${NAME_LIMIT} characters.`;
  if (rest.decision !== 'approve' && rest.decision !== 'reject')
    return 'A decision needs "decision": "approve" or "reject".';
  if (rest.comment !== undefined && (typeof rest.comment !== 'string' || rest.comment.length > COMMENT_LIMIT))
    return `The comment of a decision is a text of at most ${COMMENT_LIMIT} characters.`;
  if (rest.form !== undefined && (typeof rest.form !== 'object' || rest.form === null))
    return 'The form of a decision is one JSON object.';
  if (rest.form !== undefined && JSON.stringify(rest.form).length > FORM_LIMIT)
    return `The form of a decision has at most ${FORM_LIMIT} characters of JSON.`;
  if (rest.atMs !== undefined && typeof rest.atMs !== 'number')
    return 'The "atMs" of a decision is a number: milliseconds since 1970.';
  return rest.signature === undefined ? undefined : problemOfSignature(rest.signature);
}

const NAME_LIMIT = 200;
const COMMENT_LIMIT = 4_000;
const FORM_LIMIT = 10_000;

function problemOfSignature(signature: unknown): string | undefined {
  const { scheme, key, value } = (signature ?? {}) as { [name: string]: unknown };
  return (scheme === 'ed25519' || scheme === 'sshsig') && isHex(key, 32) && isHex(value, 64)
    ? undefined
    : 'The signature of a decision has scheme "ed25519" or "sshsig", a key of 32 and a value of 64 bytes in lower-case hex.';
}

function isHex(text: unknown, bytes: number): boolean {
  return typeof text === 'string' && text.length === bytes * 2 && /^[0-9a-f]+$/.test(text);
}

function judgeSignature(
  gate: Gate,
  { decision, executionId, verify }: JudgedDecision,
  keys: readonly string[],
): { readonly verified: boolean } | { readonly refusal: string } {
  const { signature, by } = decision;
  if (!signature)
    return gate.allowUnverified
      ? { verified: false }
      : refuse(
          `The decision of "${by}" on "${gate.name}" is not signed, and the gate asks for it. Decide with: anneal ${decision.decision} RUN ${gate.name} --key FILE`,
        );
  const forged = problemOfSignedText(executionId, decision, verify);
  if (forged !== undefined) return refuse(forged);
  if (keys.includes(signature.key)) return { verified: true };
  return gate.allowUnverified && keys.length === 0
    ? { verified: false }
    : refuse(
        `The decision on "${gate.name}" is signed with a key that anneal.yaml does not list for "${by}". Sign with a listed key, or add this one and start the run again.`,
      );
}

function problemOfForm(
  gate: Gate,
  decision: ApprovalDecision,
  counted: readonly RecordedDecision[],
): string | undefined {
  const checked = checkParameters(`the form of "${gate.name}"`, gate.form, decision.form);
  if (!checked.ok) return checked.problems.join(' ');
  const before = counted.find((earlier) => earlier.decision === 'approve');
  if (!before || canonicalJson(formValues(gate, before.form)) === canonicalJson(checked.values))
    return undefined;
  return `"${before.by}" approved "${gate.name}" with ${canonicalJson(formValues(gate, before.form))}, this says ${canonicalJson(checked.values)}. Approve the same values, or reject.`;
}

function namesOf(people: readonly Approver[]): string {
  return people.length === 0 ? 'nobody' : people.map(({ name }) => name).join(', ');
}

function refuse(refusal: string): { readonly refusal: string } {
  return { refusal };
}
