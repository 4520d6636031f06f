import { bucketOf } from '../bucket.ts';
import { complexityOf, type Weighed } from '../complexity.ts';
import { GatewayError } from '../errors.ts';
import type { Call } from '../protocol/protocol.ts';
import type { Detector } from '../redact/redactor.ts';
import { readSchema, type SchemaError, validator } from '../schema.ts';
import { scriptsOf } from '../scripts.ts';
import { newestUserText, readSignals } from '../signals.ts';
import { estimatePromptTokens } from '../tokens.ts';
import type { Complexity, Input } from '../types.gen.ts';
import { type EndUser, endUserOf } from './end-user.ts';
import { allFindings, type Findings, inspect } from './findings.ts';
import type { Head } from './receive.ts';

/** Facts that are not in the request: the gateway's clock, budgets and upstreams. */
export interface Facts {
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly upstreams: () => Input['upstreams'];
  /** What is known of the budgets that may concern the caller and the end user it names, at no extra call. */
  readonly spend: (caller: Input['caller'], purpose: Input['purpose'], endUser: string) => Input['spend'];
  /** What is known of the policy's experiments. */
  readonly experiments: () => Input['experiments'];
  /** What stands for a user of an organisation whose name is not to be kept: always the same, and no way back. */
  readonly pseudonym: (org: string, name: string) => string;
}

/** A request as policies see it, and where in its body values were found. */
export interface Described {
  readonly input: Input;
  readonly findings: Findings;
}

/** The part of a head that a description needs. */
export type DescribedHead = Pick<Head, 'requestId' | 'sourceIp' | 'headers' | 'purpose' | 'endUser'>;

const isInput = validator<Input>(readSchema('input'));

/** A policy's time grows with its input (11 µs a KB): more than this is refused. */
const LARGEST_INPUT_BYTES = 65_536;
const MOST_SPEND = 32;

/** What is known of the policy that will decide: the weights of complexity, and the buckets it was chosen by. */
export interface AskedPolicy {
  readonly complexity?: Complexity | undefined;
  readonly bucket?: Input['bucket'];
}

/**
 * Describes a call for the policies and finds personal data and credentials in every string of its body. Throws GatewayError `input_too_large` naming the field that is over a bound
 * of schemas/input.json.
 */
export const describe = (
  call: Call,
  head: DescribedHead,
  caller: Input['caller'],
  facts: Facts,
  detector: Detector,
  { complexity, bucket = bucketsOf(head, caller) }: AskedPolicy = {},
): Described => {
  const findings = inspect(call.raw, call.scan, detector, call.opaque);
  const request = {
    endpoint: call.endpoint,
    dialect: call.dialect,
    model: call.model.toWellFormed(),
    stream: call.stream,
    max_output_tokens: call.maxOutputTokens,
    temperature: call.temperature,
    tools: call.toolNames.map((name) => name.toWellFormed()),
    response_format: call.responseFormat?.toWellFormed() ?? null,
    end_user: endUserOf(head.endUser, call, detector, (name) => facts.pseudonym(caller.org, name)),
  };
  const content = contentOf(call, findings, request, complexity);
  return { input: inputOf(request, content, head, caller, facts, bucket), findings };
};

/** Describes a request that has no body, such as a list of models. Throws as `describe`. */
export const describeBodiless = (
  head: DescribedHead & Pick<Input['request'], 'endpoint' | 'dialect'>,
  caller: Input['caller'],
  facts: Facts,
): Input => {
  const { endpoint, dialect } = head;
  const request = { endpoint, dialect, model: '', stream: false, max_output_tokens: null, temperature: null };
  const endUser: EndUser = { name: head.endUser, source: head.endUser === '' ? 'none' : 'header' };
  const rest = { tools: [], response_format: null, end_user: endUser };
  return inputOf({ ...request, ...rest }, NO_CONTENT, head, caller, facts, bucketsOf(head, caller));
};

const NO_CONTENT: Input['content'] = {
  messages: 0,
  bytes: 0,
  tokens_estimate: 0,
  modalities: [],
  languages: [],
  pii: {},
  secrets: {},
  signals: {
    multiple_choice: false,
    yes_no: false,
    question_marks: 0,
    code: false,
    math: false,
    instruction_verbs: 0,
    turns: 0,
    words: 0,
    numbers: 0,
    long_words: 0,
    negated: false,
  },
  complexity: 0,
  uninspected: [],
};

const inputOf = (
  request: Omit<Input['request'], 'id' | 'time' | 'source_ip' | 'headers'>,
  content: Input['content'],
  head: DescribedHead,
  caller: Input['caller'],
  facts: Facts,
  bucket: Input['bucket'],
): Input => {
  const { purpose } = head;
  const input: Input = {
    request: {
      id: head.requestId,
      time: new Date(facts.now()).toISOString(),
      ...request,
      source_ip: head.sourceIp,
      headers: head.headers as Record<string, string>,
    },
    caller,
    purpose,
    content,
    spend: facts.spend(caller, purpose, request.end_user.name).slice(0, MOST_SPEND),
    upstreams: facts.upstreams(),
    bucket,
    experiments: facts.experiments(),
  };
  checkBounds(input);
  return input;
};

const contentOf = (
  call: Call,
  findings: Findings,
  request: Weighed['request'],
  complexity: Complexity | undefined,
): Input['content'] => {
  const sample = newestUserText(call.texts);
  const signals = readSignals(sample, call.turns);
  const languages = scriptsOf(sample.text);
  const pii: Record<string, number> = {};
  const secrets: Record<string, number> = {};
  for (const { entity, kind } of allFindings(findings)) {
    const counts = entity === 'api_key' ? secrets : pii;
    const name = entity === 'api_key' ? (kind ?? 'unknown') : entity;
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return {
    messages: call.prompts ?? call.messages,
    bytes: call.raw.length,
    tokens_estimate: promptTokens(call),
    modalities: [...call.modalities],
    languages,
    pii,
    secrets,
    signals,
    complexity: complexityOf({ request, content: { signals, languages } }, complexity),
    uninspected: [...call.uninspected].map(([kind, bytes]) => ({ kind, bytes })),
  };
};

/** Fields beside the messages that the model reads: their JSON is close to what it is given. */
const READ_BY_MODEL = ['tools', 'functions', 'response_format', 'text', 'output_config', 'output_format'];

const promptTokens = (call: Call): number => {
  const texts = call.texts.map(({ text }) => text);
  for (const name of READ_BY_MODEL) {
    const member = call.scan.members.get(name);
    if (member) texts.push(call.raw.toString('latin1', member.start, member.end));
  }
  return estimatePromptTokens(texts, call.messages) + (call.tokenIds ?? 0);
};

/** The buckets of a request, by which canaries and experiments draw. */
export const bucketsOf = (head: UnitHead, caller: Input['caller']): Input['bucket'] => {
  const { request, user, session, org } = unitsOf(head, caller);
  return { request: bucketOf(request), user: bucketOf(user), session: bucketOf(session), org: bucketOf(org) };
};

type UnitHead = Pick<DescribedHead, 'requestId' | 'purpose' | 'endUser'>;

/**
 * What a request belongs to, of each kind: what has one name has one bucket, and so stays in one arm. An application's
 * credential is many people, where it says in x-aegis-user which.
 */
export const unitsOf = (
  { requestId, purpose: { session }, endUser }: UnitHead,
  caller: Input['caller'],
): Readonly<Record<keyof Input['bucket'], string>> => {
  const user = caller.user || endUser;
  return {
    request: requestId,
    user: user === '' ? `credential ${caller.id}` : `user ${caller.org} ${user}`,
    session: session === '' ? requestId : `session ${caller.org} ${session}`,
    org: `org ${caller.org}`,
  };
};

const checkBounds = (input: Input): void => {
  if (!isInput(input)) throw boundError(isInput.errors?.[0]);
  if (callerSized(input) > LARGEST_INPUT_BYTES / 4 && Buffer.byteLength(JSON.stringify(input)) > LARGEST_INPUT_BYTES) {
    throw new GatewayError(
      'input_too_large',
      `Tools, tags, headers and claims come to more than ${LARGEST_INPUT_BYTES} bytes.`,
    );
  }
};

/** Characters in the fields that a caller sizes; the rest is small by its bounds. */
const callerSized = ({ request, purpose, caller }: Input): number => {
  let size = 0;
  for (const name of request.tools) size += name.length;
  for (const name in request.headers) size += request.headers[name]!.length;
  for (const name in purpose.tags) size += name.length + purpose.tags[name]!.length;
  for (const name in caller.claims) size += name.length + String(caller.claims[name]).length;
  for (const group of caller.groups) size += group.length;
  return size;
};

const BOUNDS = new Set(['maxLength', 'maxItems', 'maxProperties', 'maximum']);

/** What the gateway itself says wrong is its own fault; a field over a bound is the caller's. */
const boundError = (error: SchemaError | undefined): GatewayError => {
  const field = error?.instancePath.slice(1).replaceAll('/', '.') ?? '';
  if (error && BOUNDS.has(error.keyword) && !/^(?:spend|upstreams|bucket|experiments)/.test(field)) {
    const param = PARAMS[field] ?? field;
    return new GatewayError('input_too_large', `${param} ${error.message ?? 'is over its bound'}.`, { param });
  }
  return new GatewayError('internal_error', 'The request could not be described.', {
    cause: `input ${field}: ${error?.message}`,
  });
};

/** Fields of the input under the name the caller knows. */
const PARAMS: Readonly<Record<string, string>> = {
  'request.model': 'model',
  'request.tools': 'tools',
  'request.response_format': 'response_format.type',
};
