// Generated from schemas/*.json by scripts/generate-types.ts. Do not edit.

/**
 * What one request looks like to the policies: facts only, never a decision and never the prompt. The same input under the same bundle always gives the same decision.
 */
export interface Input {
  /**
   * The HTTP request and the parameters of the call that a policy may judge.
   */
  request: {
    /**
     * The gateway's id of this request; also in the answer's x-request-id.
     */
    id: string;
    /**
     * When the request was received, RFC 3339 in UTC with milliseconds. Policies have no other clock.
     */
    time: string;
    /**
     * The operation, whatever its path. Those of the control plane (admin.…) are asked of aegis/admin, all others of aegis/decision.
     */
    endpoint:
      | 'chat.completions'
      | 'responses'
      | 'completions'
      | 'embeddings'
      | 'messages'
      | 'messages.count_tokens'
      | 'models'
      | 'feedback'
      | 'admin.upstreams'
      | 'admin.usage'
      | 'admin.policies'
      | 'admin.decisions'
      | 'admin.keys.list'
      | 'admin.keys.create'
      | 'admin.keys.rotate'
      | 'admin.keys.revoke'
      | 'admin.experiments'
      | 'admin.evaluations';
    /**
     * The API the caller speaks: it decides the shape of answers and errors.
     */
    dialect: 'openai' | 'anthropic';
    /**
     * The model the caller wishes for; "auto" leaves the choice to the policy; empty where the endpoint has none.
     */
    model: string;
    /**
     * Whether the caller asked for server-sent events.
     */
    stream: boolean;
    /**
     * The caller's cap on output tokens (max_tokens, max_completion_tokens, max_output_tokens), null when none was sent.
     */
    max_output_tokens: number | null;
    /**
     * The caller's sampling temperature, null when none was sent.
     */
    temperature: number | null;
    /**
     * Names of the tools offered to the model, in the caller's order.
     *
     * @maxItems 128
     */
    tools: string[];
    /**
     * The kind of output asked for: text, json_object, json_schema; null when none was sent.
     */
    response_format: string | null;
    /**
     * The peer's address, IPv4-mapped IPv6 written as IPv4.
     */
    source_ip: string;
    /**
     * Allow-listed request headers, lower-case names. Never a credential.
     */
    headers: {
      [k: string]: string;
    };
    /**
     * For whom the application says it calls. Its word, no proof: it counts only where a role of the caller may act for users.
     */
    end_user: {
      /**
       * The end user; empty when none is named. A name in the body that is long, odd or personal data stands by a keyed hash.
       */
      name: string;
      /**
       * Where it was said: header is x-aegis-user; body is OpenAI's user or safety_identifier, Anthropic's metadata.user_id. The header comes first.
       */
      source: 'none' | 'header' | 'body';
    };
  };
  /**
   * Who calls, as proved by the credential. Nothing here comes from the body.
   */
  caller: {
    /**
     * The kind of credential.
     */
    kind: 'key' | 'jwt';
    /**
     * The credential's public id (never the secret).
     */
    id: string;
    /**
     * The organisation the credential belongs to.
     */
    org: string;
    /**
     * The team inside the organisation; empty when the credential names none.
     */
    team: string;
    /**
     * The user the credential acts for; empty for a credential of a service.
     */
    user: string;
    /**
     * Roles the credential holds.
     *
     * @maxItems 32
     */
    roles: string[];
    /**
     * Groups the user belongs to.
     *
     * @maxItems 64
     */
    groups: string[];
    /**
     * Workflows the credential is limited to; empty: those its roles allow.
     *
     * @maxItems 64
     */
    workflows: string[];
    /**
     * OAuth scopes of a JWT.
     *
     * @maxItems 64
     */
    scopes: string[];
    /**
     * Allow-listed claims of a JWT.
     */
    claims: {
      [k: string]: string | number | boolean;
    };
  };
  /**
   * What the call is for, as declared by the application.
   */
  purpose: {
    /**
     * x-aegis-workflow; empty when not sent.
     */
    workflow: string;
    /**
     * x-aegis-use-case; empty when not sent.
     */
    use_case: string;
    /**
     * x-aegis-session: one conversation; empty when not sent.
     */
    session: string;
    /**
     * x-aegis-tags: free dimensions for reports, such as course and institution.
     */
    tags: {
      [k: string]: string;
    };
  };
  /**
   * Measurements of the prompt. The prompt itself never reaches a policy.
   */
  content: {
    /**
     * Number of messages, system prompt included; of embeddings and legacy completions the number of texts, each answered on its own.
     */
    messages: number;
    /**
     * Size of the body in bytes.
     */
    bytes: number;
    /**
     * Estimated prompt tokens (o200k); median error 4 %.
     */
    tokens_estimate: number;
    /**
     * Kinds of content present: text, image, audio, document.
     *
     * @maxItems 8
     */
    modalities: string[];
    /**
     * Scripts seen in the newest user text, most frequent first (ISO 15924: Latn, Cyrl, Hans …).
     *
     * @maxItems 8
     */
    languages: string[];
    /**
     * Number of detected values by entity. An entity with none is absent.
     */
    pii: {
      [k: string]: number;
    };
    /**
     * Number of detected credentials by kind. A kind with none is absent.
     */
    secrets: {
      [k: string]: number;
    };
    /**
     * Signals of the newest user text that routing may use.
     */
    signals: {
      /**
       * The text offers lettered or numbered options to choose from.
       */
      multiple_choice: boolean;
      /**
       * The text asks for yes or no, true or false.
       */
      yes_no: boolean;
      /**
       * Number of question marks.
       */
      question_marks: number;
      /**
       * The text contains source code.
       */
      code: boolean;
      /**
       * The text contains mathematical notation.
       */
      math: boolean;
      /**
       * Number of verbs that ask for open-ended work (write, explain, compare, prove …).
       */
      instruction_verbs: number;
      /**
       * Number of user messages.
       */
      turns: number;
      /**
       * Number of words.
       */
      words: number;
      /**
       * Number of numbers.
       */
      numbers: number;
      /**
       * Number of words of ten letters and more.
       */
      long_words: number;
      /**
       * The text asks for an exception or the contrary (not, except, least, false).
       */
      negated: boolean;
    };
    /**
     * A score of the task from 0 (trivial) to 1 (hard), from the signals by the weights of the policy that decides (policies/complexity/data.yaml).
     */
    complexity: number;
    /**
     * Parts no detector could read. A policy must allow each kind positively for its upstream; the default is deny.
     *
     * @maxItems 16
     */
    uninspected: {
      /**
       * image, audio, document, file or unknown.
       */
      kind: string;
      /**
       * Encoded size of all parts of this kind.
       */
      bytes: number;
    }[];
  };
  /**
   * What this replica knows of the budgets that may concern the caller: refreshed by each limiter reply, at no extra call.
   *
   * @maxItems 32
   */
  spend: {
    /**
     * What the budget is for.
     */
    scope: 'key' | 'user' | 'group' | 'team' | 'org' | 'use_case' | 'workflow' | 'tag';
    /**
     * Whose budget it is.
     */
    subject: string;
    /**
     * The current period, such as 2026-11 or 2026-11-24.
     */
    period: string;
    /**
     * Settled spend in this period, millionths of a US dollar.
     */
    micro_usd: number;
    /**
     * Reserved by requests under way.
     */
    reserved_micro_usd: number;
    /**
     * The cap of the period.
     */
    cap_micro_usd: number;
    /**
     * Age of these figures.
     */
    age_ms: number;
  }[];
  /**
   * The configured upstreams by name. Present means configured.
   */
  upstreams: {
    [k: string]: {
      /**
       * The APIs it speaks.
       *
       * @maxItems 4
       */
      dialects: ('openai' | 'anthropic')[];
      /**
       * The operations it can be asked for: those it speaks itself, and those that are translated into one of them.
       *
       * @maxItems 16
       */
      endpoints: string[];
      /**
       * Whether content that goes there leaves the operator's hands.
       */
      third_party: boolean;
      /**
       * Health from live traffic.
       */
      state: 'up' | 'degraded' | 'down';
      /**
       * Share of failed attempts of late, 0 to 1.
       */
      error_rate: number;
      /**
       * Median time to the first byte of late.
       */
      p50_ms: number;
    };
  };
  /**
   * Stable hashes, 0 to 9999, for shares of traffic: A/B tests and canaries.
   */
  bucket: {
    /**
     * Of the request id.
     */
    request: number;
    /**
     * Of org and user; of a credential that has no user, the one that x-aegis-user names, else of the credential.
     */
    user: number;
    /**
     * Of org and session, or of the request id when it has no session.
     */
    session: number;
    /**
     * Of the organisation.
     */
    org: number;
  };
  /**
   * What the gateway knows of the policy's experiments, by id. One that is absent runs by its data alone.
   */
  experiments: {
    [k: string]: {
      /**
       * A guard was breached: everybody is in the control arm.
       */
      stopped: boolean;
    };
  };
  /**
   * On the control plane alone: the key that is to be made, rotated or revoked. null asks whether the caller may use the operation at all.
   */
  target?: {
    /**
     * The organisation it belongs to.
     */
    org: string;
    /**
     * The team; may be empty.
     */
    team: string;
    /**
     * The user; may be empty.
     */
    user: string;
    /**
     * Roles it holds.
     *
     * @maxItems 32
     */
    roles: string[];
    /**
     * Groups it belongs to.
     *
     * @maxItems 64
     */
    groups: string[];
    /**
     * Workflows it is limited to; empty: those its roles allow.
     *
     * @maxItems 64
     */
    workflows: string[];
  } | null;
}

/**
 * What the policies decided for one input. Every field but allow, deny and rules is an obligation: a stage that cannot execute its part fails the request.
 */
export interface Decision {
  /**
   * Whether the request may proceed. Absent, undefined or of another type means no.
   */
  allow: boolean;
  /**
   * Why not. Message and hint reach the caller. Sorted by rule.
   *
   * @maxItems 32
   */
  deny: {
    /**
     * A stable code for programs.
     */
    code: string;
    /**
     * One sentence for people.
     */
    message: string;
    /**
     * What would have been allowed; may be empty.
     */
    hint: string;
    /**
     * Id of the rule that denied, see rules.
     */
    rule: string;
  }[];
  /**
   * Where the request goes.
   */
  route: {
    /**
     * Models to try, in order. Empty only when denied, or on an endpoint that calls no model.
     *
     * @maxItems 8
     */
    candidates: {
      /**
       * A model of policies/models/data.yaml.
       */
      model: string;
      /**
       * A configured upstream.
       */
      upstream: string;
    }[];
    /**
     * Why this order, in a few words.
     */
    reason: string;
    /**
     * The A/B test this request belongs to.
     */
    experiment: {
      /**
       * The experiment.
       */
      id: string;
      /**
       * The arm.
       */
      arm: string;
    } | null;
    /**
     * A model that also gets the masked request, in the background: its answer is kept for evaluation and never returned. It is admitted by a budget of its own and left out when that is spent.
     */
    mirror: Mirror | null;
  };
  /**
   * Clamps and sets on the call.
   */
  parameters: {
    /**
     * The output cap that is sent upstream.
     */
    max_output_tokens?: number;
  };
  /**
   * What becomes of the tools the caller offers.
   */
  tools: {
    /**
     * Names of offered tools that are taken out of the request.
     *
     * @maxItems 128
     */
    remove: string[];
  };
  /**
   * What happens to detected values, one entry an entity.
   *
   * @maxItems 32
   */
  redact: {
    /**
     * The detected kind, a key of content.pii or content.secrets.
     */
    entity: 'email' | 'phone' | 'card' | 'iban' | 'us_ssn' | 'ip' | 'api_key';
    /**
     * tokenize: a placeholder that is restored in the answer. mask: all but a short tail starred. hash: a keyed hash. remove: nothing is left. block: the request fails if one is found.
     */
    action: 'tokenize' | 'mask' | 'hash' | 'remove' | 'block';
    /**
     * Where. Only the request is executed yet.
     *
     * @minItems 1
     * @maxItems 1
     */
    in: 'request'[];
    /**
     * Where in the answer a placeholder is replaced by its value. Links and tool arguments are places where a model could be made to carry a value away.
     *
     * @maxItems 3
     */
    restore: ('text' | 'links' | 'tool_arguments')[];
  }[];
  /**
   * Rates and concurrency.
   */
  rate: {
    /**
     * The tier that applies, for headers and reports.
     */
    tier: string;
    /**
     * Taken all at once or not at all.
     *
     * @maxItems 72
     */
    limits: {
      /**
       * What the limit is for. model: one model of one upstream inside an organisation.
       */
      scope: 'key' | 'user' | 'group' | 'team' | 'org' | 'model';
      /**
       * Whose limit it is.
       */
      subject: string;
      /**
       * Requests a minute.
       */
      requests_per_minute?: number;
      /**
       * Tokens a minute, input and output.
       */
      tokens_per_minute?: number;
      /**
       * Requests under way at a time.
       */
      concurrent?: number;
    }[];
  };
  /**
   * Spend caps. Spent plus reserved never exceeds one.
   *
   * @maxItems 16
   */
  budgets: {
    /**
     * What the budget is for.
     */
    scope: 'key' | 'user' | 'group' | 'team' | 'org' | 'use_case' | 'workflow' | 'tag';
    /**
     * Whose budget it is.
     */
    subject: string;
    /**
     * When it starts anew.
     */
    period: 'day' | 'month';
    /**
     * IANA time zone in which the period is counted.
     */
    timezone: string;
    /**
     * The cap in millionths of a US dollar.
     */
    micro_usd: number;
    /**
     * What happens beyond the cap.
     */
    on_exceed: 'deny';
  }[];
  /**
   * What the audit keeps of prompt and answer. The record itself is always written.
   */
  audit: {
    /**
     * full: as the caller sent and got it. redacted: as the upstream got and sent it. none: hashes only.
     */
    content: 'full' | 'redacted' | 'none';
    /**
     * After how many days the content's key is destroyed.
     */
    retention_days: number;
  };
  /**
   * The end user for whom the caller acts: the user of the ledger, the reports and the audit. It is the one of the input (request.end_user.name), never another. null or absent: the caller acts for itself.
   */
  acting_for?: string | null;
  /**
   * Not executed yet, so refused unless null: an answer cache.
   */
  cache: null;
  /**
   * Ids of the rules that fired, sorted; explain joins them with title, file and line.
   *
   * @maxItems 64
   */
  rules: string[];
}
export interface Mirror {
  /**
   * The mirror, of policies/mirrors/data.yaml.
   */
  id: string;
  /**
   * A model of policies/models/data.yaml.
   */
  model: string;
  /**
   * A configured upstream.
   */
  upstream: string;
  /**
   * What it may cost a day (UTC) in the caller's organisation, millionths of a US dollar.
   */
  daily_micro_usd: number;
}

/**
 * What aegis/explain of a bundle says of an input that it has decided. Evaluated only when somebody asks, never for a request.
 */
export interface PolicyExplanation {
  /**
   * Models that the request could have meant, each with an upstream: the chosen one and the fallbacks first, in the order of the decision.
   *
   * @maxItems 64
   */
  considered: ConsideredModel[];
  /**
   * For a refusal, what would have been allowed. Entries of one rule are alternatives; each rule that denied must be satisfied.
   *
   * @maxItems 64
   */
  needed: Needed[];
}
export interface ConsideredModel {
  /**
   * A model of policies/models/data.yaml, or the name that the caller sent.
   */
  model: string;
  /**
   * An upstream that serves it; null when the model is not known.
   */
  upstream: string | null;
  /**
   * chosen: tried first. fallback: tried when those before it fail. lost: not tried.
   */
  verdict: 'chosen' | 'fallback' | 'lost';
  /**
   * Every reason, the most telling first.
   *
   * @minItems 1
   * @maxItems 16
   */
  why: string[];
}
export interface Needed {
  /**
   * Id of the rule that denied.
   */
  rule: string;
  /**
   * What would do, in words.
   */
  need: string;
  /**
   * Names of which any one would do: roles, workflows, models, teams, as the words say. May be empty.
   *
   * @maxItems 24
   */
  one_of: string[];
}

/**
 * Where one name is found.
 */
export type ClaimSource =
  | string
  | {
      /**
       * The name, for every token.
       */
      value: string;
    };
/**
 * Where a list of names is found: an array of texts, or one text, of scopes separated by spaces.
 */
export type ClaimListSource =
  | string
  | {
      /**
       * The names, for every token.
       *
       * @maxItems 32
       */
      value: string[];
    };

/**
 * aegis.yaml: what the operator decides. What a security team decides is policy data. Relative paths are relative to the file.
 */
export interface Config {
  /**
   * For editors.
   */
  $schema?: string;
  /**
   * host:port of the data plane. AEGIS_LISTEN overrides.
   */
  listen?: string;
  /**
   * The control plane.
   */
  admin?: {
    /**
     * host:port. AEGIS_ADMIN_LISTEN overrides.
     */
    listen?: string;
  };
  /**
   * Folder of the embedded store, the audit log, the last known good bundle and demo.key. AEGIS_HOME overrides.
   */
  home?: string;
  /**
   * Bounds of one request, before any policy.
   */
  limits?: {
    /**
     * Largest request body. A hostile body may hold the event loop for a tenth of a second a megabyte, so raise it only as far as needed.
     */
    body_bytes?: number;
    /**
     * Deepest nesting of a body.
     */
    depth?: number;
    /**
     * Largest unstreamed answer of an upstream.
     */
    response_bytes?: number;
  };
  /**
   * The only destinations there are. Policies refer to them by name.
   *
   * @minItems 1
   * @maxItems 32
   */
  upstreams: {
    /**
     * The name policies/models/data.yaml refers to.
     */
    name: string;
    /**
     * The provider's protocol and habits.
     */
    kind: 'openai' | 'anthropic' | 'mistral' | 'openai_compatible' | 'litellm' | 'sandbox';
    /**
     * Where it is. OpenAI's ends in /v1, Anthropic's does not.
     */
    base_url?: string;
    /**
     * The provider's key.
     */
    api_key?: string;
    /**
     * Several keys of one account or of several, instead of api_key. Requests are spread by weight; a key whose account is out of money or limited rests.
     *
     * @minItems 1
     * @maxItems 32
     */
    api_keys?: {
      /**
       * The provider's key.
       */
      key: string;
      /**
       * Its share beside the others'.
       */
      weight?: number;
    }[];
    /**
     * Where the key goes: a bearer token, or a header of its own as Azure and Anthropic have it. Default: x-api-key for anthropic, authorization for the others.
     */
    key_header?: 'authorization' | 'api-key' | 'x-api-key';
    /**
     * Azure's api-version, added to each request as a query.
     */
    api_version?: string;
    /**
     * The operations it speaks itself, where it is not what its kind has. vLLM adds responses and messages, llama.cpp messages.
     *
     * @minItems 1
     */
    endpoints?: (
      'chat.completions' | 'responses' | 'completions' | 'embeddings' | 'messages' | 'messages.count_tokens'
    )[];
    /**
     * Whether HTTP/2 is used where the server offers it over TLS. An abort then resets a stream, not a connection.
     */
    http2?: boolean;
    /**
     * Whether content leaves the operator's hands. Default: yes, but on loopback (a litellm hands it on from there too), and for openai_compatible at a private address or a name that only an own network has (without a dot, .internal, .local, .svc …).
     */
    third_party?: boolean;
    /**
     * Requests under way at most. As many again may wait; what is beyond goes to the next candidate.
     */
    max_concurrent?: number;
    /**
     * Until connected.
     */
    connect_timeout_ms?: number;
    /**
     * Until the answer starts.
     */
    first_byte_timeout_ms?: number;
    /**
     * Between two chunks of an answer.
     */
    idle_timeout_ms?: number;
  }[];
  /**
   * Where policy bundles come from.
   */
  bundles?: {
    /**
     * A folder with rollout.yaml and bundles; or an http(s) address: of such a folder when it ends in a slash, else of one bundle, as OPA's bundle servers have it.
     */
    source?: string;
    /**
     * Sent as Authorization: Bearer to an http(s) source. Empty: nothing is sent.
     */
    token?: string;
    /**
     * PEM files of the keys that may sign bundles. The file name up to the first dot is the key's id.
     *
     * @minItems 1
     */
    public_keys?: string[];
    /**
     * How often the source is looked at.
     */
    poll_s?: number;
  };
  /**
   * The audit log. It cannot be switched off.
   */
  audit?: {
    /**
     * How often a signed checkpoint of the log is written.
     */
    checkpoint_s?: number;
  };
  /**
   * Where keys, the ledger and, by choice, decisions are.
   */
  store?: {
    /**
     * postgres://user:password@host:5432/database, shared by several gateways; ?sslmode=verify-full&sslrootcert=FILE for TLS. Empty: the embedded database of the home.
     */
    url?: string;
    /**
     * For how many days the store keeps decisions: the audit log's records of each, without prompts and answers, which all gateways of one Postgres then find. 0: none, they are in the audit log of the gateway that made them.
     */
    decisions_days?: number;
  };
  /**
   * Who may call beside the holders of API keys.
   */
  identity?: {
    /**
     * How long keys that cannot be looked at again are believed: the table of API keys while the database cannot be reached, an issuer's keys while it cannot.
     */
    max_stale_s?: number;
    /**
     * Issuers (OIDC) whose tokens are taken.
     *
     * @maxItems 32
     */
    jwt?: {
      /**
       * The token's iss, to the letter.
       */
      issuer: string;
      /**
       * Where its public keys are; the only address that is asked. https, or http on loopback.
       */
      jwks_uri: string;
      /**
       * What the token's aud must be or hold.
       */
      audience: string;
      /**
       * Signature algorithms that are taken. Only asymmetric ones can be named.
       *
       * @minItems 1
       */
      algorithms?: (
        'RS256' | 'RS384' | 'RS512' | 'PS256' | 'PS384' | 'PS512' | 'ES256' | 'ES384' | 'ES512' | 'EdDSA'
      )[];
      /**
       * Where the caller is in the token. A path of names with dots (realm_access.roles), a JSON pointer for names that have dots themselves (/https:~1~1example.org~1team), or {value: …} for what is the same for every token. A token that names no org is refused; what else it lacks is empty.
       */
      claims: {
        org: ClaimSource;
        team?: ClaimSource;
        user?: ClaimSource;
        roles?: ClaimListSource;
        groups?: ClaimListSource;
        scopes?: ClaimListSource;
        workflows?: ClaimListSource;
      };
      /**
       * Claims that policies see in caller.claims, as paths or pointers: texts, numbers and booleans.
       *
       * @maxItems 32
       */
      allow_claims?: string[];
      /**
       * The only roles that this issuer may give; any other in a token is left out. Name them where the issuer is not the operator's own. Absent: all.
       *
       * @maxItems 128
       */
      allow_roles?: string[];
    }[];
  };
  /**
   * Where metrics and traces are sent beside /metrics of the control plane, which is always there.
   */
  telemetry?: {
    /**
     * Base URL of an OpenTelemetry collector that speaks OTLP over HTTP: /v1/metrics and /v1/traces are added. Without one nothing is sent.
     */
    otlp_endpoint?: string;
    /**
     * Headers of each export, such as a token of the collector.
     */
    headers?: {
      [k: string]: string;
    };
    /**
     * Share of the requests that are traced. A caller's own trace is traced when the caller records it. 0 turns traces off.
     */
    traces_sample_ratio?: number;
    /**
     * How often metrics are sent.
     */
    metrics_interval_s?: number;
  };
  /**
   * Where several gateways count limits and budgets together. The demo and a single gateway need none.
   */
  redis?: {
    /**
     * redis:// or rediss://, with user, password and database if needed. Empty: limits live in memory.
     */
    url?: string;
    /**
     * With what every key begins. Gateways that share limits have the same one.
     */
    prefix?: string;
  };
  /**
   * What needs a person, told by a signed webhook: budgets that pass a threshold, provider accounts without money, an audit log that takes no records.
   */
  alerts?: {
    /**
     * Where alerts are posted, signed by the Standard Webhooks scheme.
     */
    webhook: {
      /**
       * https, or http on loopback. Redirects are not followed.
       */
      url: string;
      /**
       * whsec_ and the base64 of 24 to 64 random bytes.
       */
      secret: string;
    };
    /**
     * Shares of a budget's cap at which it is told.
     *
     * @minItems 1
     * @maxItems 16
     */
    thresholds?: number[];
  };
  /**
   * Least level of log lines.
   */
  log_level?: 'debug' | 'info' | 'warn' | 'error' | 'silent';
}

/**
 * The .manifest of a bundle: OPA's fields, and what Aegis adds under metadata.aegis.
 */
export interface Manifest {
  /**
   * Digest of the policies' sources; the answer's x-aegis-policy-revision.
   */
  revision: string;
  /**
   * Paths the bundle owns.
   */
  roots: string[];
  /**
   * 1.
   */
  rego_version: 1;
  /**
   * OPA's list of entrypoints.
   */
  wasm?: {
    /**
     * Path of the rule.
     */
    entrypoint: string;
    /**
     * File of the module.
     */
    module: string;
  }[];
  /**
   * OPA carries it as it is.
   */
  metadata: {
    /**
     * Aegis's own fields.
     */
    aegis: {
      /**
       * Version of the two documents.
       */
      contract: 1;
      /**
       * Order of bundles: never goes back.
       */
      sequence: number;
      /**
       * Oldest gateway that executes it.
       */
      min_gateway: string;
      /**
       * Digest of the input schema it was checked against.
       */
      input_schema_sha256: string;
      /**
       * Address of a rule's source, with {file}, {line} and {commit} (of the signed claims) to be filled in, such as https://github.com/acme/policies/blob/{commit}/{file}#L{line}.
       */
      rule_link?: string;
      /**
       * The explanation table: every annotated rule by its id.
       */
      rules: {
        [k: string]: {
          /**
           * METADATA title.
           */
          title: string;
          /**
           * METADATA description; may be empty.
           */
          description: string;
          /**
           * METADATA custom.code.
           */
          code: string;
          /**
           * File, from the repository's root.
           */
          file: string;
          /**
           * Line of the rule, from 1.
           */
          line: number;
        };
      };
    };
  };
}

/**
 * bundles/rollout.yaml: the desired state that every gateway converges on. A candidate beside the stable bundle decides nothing (shadow), a share of the requests (canary) or all (full), and is taken back by itself when a guard is breached.
 */
export interface Rollout {
  /**
   * For editors.
   */
  $schema?: string;
  /**
   * File name of the bundle that serves, in the same folder. With a candidate: what a rollback returns to.
   */
  stable: string;
  /**
   * File name of the bundle that is to become stable. Absent: no rollout is under way.
   */
  candidate?: string;
  /**
   * How far the candidate is: shadow decides beside stable and without effect; canary decides `percent` of the requests; full decides all, with stable held ready.
   */
  stage?: 'shadow' | 'canary' | 'full';
  /**
   * Of a canary: the share of requests that the candidate decides.
   */
  percent?: number;
  /**
   * Of a canary: what stays on one side. All requests of one organisation, user or session are decided by the same bundle; `request` draws each anew.
   */
  by?: 'org' | 'user' | 'session' | 'request';
  /**
   * Seconds that the stage must have lasted, with enough samples and no guard breached, before `next` begins.
   */
  hold_s?: number;
  /**
   * Stages that follow by themselves, in order, each after the one before it held. Absent: a person promotes.
   *
   * @maxItems 16
   */
  next?: RolloutStep[];
  guards?: RolloutGuards;
  /**
   * Share of one processor that deciding twice may take on each gateway. Requests beyond it are not compared, and counted as such.
   */
  compare_cpu_share?: number;
  /**
   * A candidate that was rolled back stays back until this file or the candidate changes: raise it to try the same again.
   */
  attempt?: number;
}
export interface RolloutStep {
  /**
   * As above.
   */
  stage: 'shadow' | 'canary' | 'full';
  /**
   * As above.
   */
  percent?: number;
  /**
   * As above; default: that of the first stage.
   */
  hold_s?: number;
}
/**
 * What takes the candidate back, measured over a sliding window on all gateways together. null switches a guard off.
 */
export interface RolloutGuards {
  /**
   * Length of the window.
   */
  window_s?: number;
  /**
   * A guard judges no fewer: requests that both bundles decided (denials), such that were answered (cost), that the candidate decided (errors, fallbacks), or evaluations of the candidate (time). A stage is followed by the next after no fewer that the candidate decided, or in shadow that both did. Policy errors are judged at once.
   */
  min_requests?: number;
  /**
   * Share of the requests, both bundles asked, that the candidate refuses and stable allows, less those the other way round.
   */
  max_deny_rate_increase?: number | null;
  /**
   * Share of failed and broken answers among those the candidate let through, less that of stable. Not in shadow.
   */
  max_error_rate_increase?: number | null;
  /**
   * Share of answers that a candidate model but the first gave, less that of stable. Not in shadow.
   */
  max_fallback_rate_increase?: number | null;
  /**
   * 99th percentile of the time that one evaluation of the candidate takes.
   */
  max_evaluation_p99_ms?: number | null;
  /**
   * By how much an answer costs more, as a share of stable's: at the tokens it used and the prices of each bundle, for the model that each would have asked first.
   */
  max_cost_increase?: number | null;
  /**
   * Requests the candidate could not decide and stable could, from at least three callers.
   */
  max_policy_errors?: number | null;
}

/**
 * One record of the audit log. An intent is durable before any byte goes upstream, its outcome before the last byte goes out; a request that never reaches an upstream has an outcome alone.
 */
export type AuditRecord = AuditIntent | AuditOutcome | AuditSuppressed | AuditEvent;
/**
 * Where prompt or answer lies encrypted, and the hash that binds it to the chain; null when none is kept.
 */
export type ContentRef = {
  /**
   * Name of the content segment.
   */
  segment: string;
  /**
   * Byte offset of the frame in the segment.
   */
  offset: number;
  /**
   * Size of the encrypted frame.
   */
  bytes: number;
  /**
   * sha256 of the encrypted frame (the random key and nonce are its salt).
   */
  sha256: string;
  /**
   * The frames that follow, in order, when a long content was written in pieces; absent when it is one frame.
   *
   * @minItems 1
   */
  parts?: ContentFrame[];
} | null;

/**
 * A decided and admitted request, before it goes upstream.
 */
export interface AuditIntent {
  /**
   * The kind of record.
   */
  kind: 'intent';
  /**
   * The decision id.
   */
  id: string;
  /**
   * RFC 3339.
   */
  time: string;
  /**
   * Of a mirrored request: the decision id of the one that was answered, whose input and decision these are. Absent: it is one itself.
   */
  mirror_of?: string;
  /**
   * The input document, schemas/input.json.
   */
  input: {};
  /**
   * The decision document, schemas/decision.json.
   */
  decision: {};
  bundle: BundleRef;
  /**
   * The upper bound of cost that was reserved.
   */
  reserved_micro_usd: number;
  /**
   * Number of values replaced, by entity.
   */
  masked: {
    [k: string]: number;
  };
  content: ContentRef;
}
/**
 * The bundle that decided.
 */
export interface BundleRef {
  /**
   * sha256 of the bundle's signed content.
   */
  digest: string;
  /**
   * Its revision.
   */
  revision: string;
}
/**
 * One encrypted piece of a content.
 */
export interface ContentFrame {
  /**
   * Name of the content segment.
   */
  segment: string;
  /**
   * Byte offset of the frame in the segment.
   */
  offset: number;
  /**
   * Size of the encrypted frame.
   */
  bytes: number;
  /**
   * sha256 of the encrypted frame.
   */
  sha256: string;
}
/**
 * How a request ended.
 */
export interface AuditOutcome {
  /**
   * The kind of record.
   */
  kind: 'outcome';
  /**
   * The decision id; null when the request failed before a decision.
   */
  id: string | null;
  /**
   * The x-request-id of the answer.
   */
  request_id: string;
  /**
   * RFC 3339, when it ended.
   */
  time: string;
  /**
   * ok; denied by policy; rejected before policy (4xx); limited by a rate or a budget; failed (5xx, upstream or own); incomplete: a stream that broke; aborted by the caller; unknown: the gateway died.
   */
  outcome: 'ok' | 'denied' | 'rejected' | 'limited' | 'failed' | 'incomplete' | 'aborted' | 'unknown';
  /**
   * HTTP status sent; 499 when the caller left before one.
   */
  status: number;
  /**
   * Code of docs/errors.md, null when ok.
   */
  error: string | null;
  /**
   * Who called; null when no credential was accepted.
   */
  caller: {
    /**
     * Credential id.
     */
    id: string;
    /**
     * Organisation.
     */
    org: string;
    /**
     * Team.
     */
    team: string;
    /**
     * User.
     */
    user: string;
    /**
     * Groups, for the ledger of group budgets; absent when there are none.
     */
    groups?: string[];
  } | null;
  /**
   * What for; null when unread.
   */
  purpose: {
    /**
     * Workflow.
     */
    workflow: string;
    /**
     * Use case.
     */
    use_case: string;
    /**
     * Session.
     */
    session: string;
    /**
     * Tags.
     */
    tags: {
      [k: string]: string;
    };
  } | null;
  /**
   * The operation; null when the route was unknown.
   */
  endpoint: string | null;
  /**
   * The rate tier; null before a decision.
   */
  tier: string | null;
  /**
   * The input document when no intent holds it; else null.
   */
  input: {} | null;
  /**
   * The decision document when no intent holds it; else null.
   */
  decision: {} | null;
  bundle: BundleRef | null;
  /**
   * The model that answered; null when none did.
   */
  model: string | null;
  /**
   * The upstream that answered; null when none did.
   */
  upstream: string | null;
  /**
   * Every upstream call, in order.
   */
  attempts: Attempt[];
  usage: Usage | null;
  cost: Cost;
  /**
   * The A/B test that it counts for; absent without one, and of one that a guard has stopped.
   */
  experiment?: {
    /**
     * The experiment.
     */
    id: string;
    /**
     * The arm.
     */
    arm: string;
    /**
     * Digest of what it compares and for whom, so that one which was changed is counted anew.
     */
    definition: string;
    /**
     * What stays in one arm: the user, session, organisation or request that was drawn.
     */
    unit: string;
  };
  /**
   * Whether the model declined to answer (a refusal, a content filter). Absent: no, or not known.
   */
  refused?: boolean;
  /**
   * Of a mirrored request: the decision id of the one that was answered. Absent: it was one itself.
   */
  mirror_of?: string;
  /**
   * Time of each stage in microseconds, in order.
   */
  stages_us: {
    [k: string]: number;
  };
  /**
   * From first byte in to this record.
   */
  duration_ms: number;
  content: ContentRef;
}
/**
 * One call of an upstream.
 */
export interface Attempt {
  /**
   * The model asked.
   */
  model: string;
  /**
   * The upstream asked.
   */
  upstream: string;
  /**
   * Its HTTP status; null without an answer.
   */
  status: number | null;
  /**
   * What went wrong, in one word; null when nothing.
   */
  error: string | null;
  /**
   * Until the answer's head, or the failure.
   */
  ms: number;
  /**
   * What the upstream says it cost, millionths of a US dollar; absent where it does not say. What is charged is the outcome's cost.
   */
  upstream_cost_micro_usd?: number;
}
/**
 * Tokens in disjoint classes: their sum is the total.
 */
export interface Usage {
  /**
   * Fresh input tokens.
   */
  input: number;
  /**
   * Input tokens read from the provider's cache.
   */
  cache_read: number;
  /**
   * Input tokens written to the provider's cache (5 minutes).
   */
  cache_write: number;
  /**
   * Input tokens written to the provider's cache for an hour.
   */
  cache_write_1h: number;
  /**
   * Output tokens but for reasoning.
   */
  output: number;
  /**
   * Reasoning tokens.
   */
  reasoning: number;
  /**
   * Who counted.
   */
  source: 'provider' | 'estimated';
}
/**
 * What the request cost.
 */
export interface Cost {
  /**
   * Millionths of a US dollar, rounded up.
   */
  micro_usd: number;
  /**
   * Revision of the bundle whose prices were used; null when nothing was priced.
   */
  price_version: string | null;
}
/**
 * Failures before authentication beyond the bound of one address, counted once a second.
 */
export interface AuditSuppressed {
  /**
   * The kind of record.
   */
  kind: 'suppressed';
  /**
   * RFC 3339.
   */
  time: string;
  /**
   * How many were not recorded one by one.
   */
  count: number;
}
/**
 * Something that happened to the gateway itself.
 */
export interface AuditEvent {
  /**
   * The kind of record.
   */
  kind: 'event';
  /**
   * RFC 3339.
   */
  time: string;
  /**
   * What happened, such as start, stop, bundle_activated, bundle_refused, content_erased.
   */
  event: string;
  /**
   * Facts of the event; never content.
   */
  detail: {};
}

/**
 * Candidates of one class. Each model is of models, at an upstream it lists.
 *
 * @minItems 1
 * @maxItems 8
 */
export type Pool = PoolCandidate[];
/**
 * One entry an entity, as in a decision.
 *
 * @maxItems 32
 */
export type Redactions = Redaction[];

/**
 * The policies' data, policies/<name>/data.yaml by folder. The gateway itself reads only models; the rest is the rules' own. References between them are checked by aegis check.
 */
export interface PolicyData {
  /**
   * policies/models/data.yaml: the models in use, by the name callers and policies use.
   */
  models: {
    [k: string]: Model;
  };
  /**
   * policies/default_prices/data.yaml: what a model costs that has no prices of its own. Absent: such a model is never asked. At most six decimals.
   */
  default_prices?: Prices;
  /**
   * policies/organizations/data.yaml: who may call, by the name a credential carries. No slash: limits are kept by <organisation>/<name>.
   */
  organizations?: {
    [k: string]: Organization;
  };
  /**
   * policies/roles/data.yaml: what a role may do. A caller with several has the sum.
   */
  roles?: {
    [k: string]: Role;
  };
  /**
   * policies/tiers/data.yaml: rates and sizes.
   */
  tiers?: {
    [k: string]: Tier;
  };
  /**
   * policies/workflows/data.yaml: what calls are for.
   */
  workflows?: {
    [k: string]: Workflow;
  };
  quality?: Quality;
  complexity?: Complexity;
  /**
   * policies/experiments/data.yaml: A/B tests, by id.
   */
  experiments?: {
    [k: string]: Experiment;
  };
  /**
   * policies/mirrors/data.yaml: shares of traffic that another model answers too, for evaluation, by id.
   */
  mirrors?: {
    [k: string]: MirrorData;
  };
  routing?: Routing;
  content?: ContentRules;
}
/**
 * One model.
 */
export interface Model {
  /**
   * Name for people.
   */
  title: string;
  /**
   * Upstreams that serve it, and the model's name there.
   */
  upstreams: {
    [k: string]: string;
  };
  /**
   * The operations it answers. Absent: those of a chat model.
   *
   * @minItems 1
   */
  endpoints?: (
    'chat.completions' | 'responses' | 'completions' | 'embeddings' | 'messages' | 'messages.count_tokens'
  )[];
  /**
   * What it is for, for roles and routing.
   */
  class: 'cheap' | 'strong' | 'frontier';
  /**
   * Kinds of input it reads.
   */
  modalities: ('text' | 'image' | 'audio' | 'document')[];
  /**
   * Largest input.
   */
  context_tokens: number;
  /**
   * Largest output; 0 for a model that writes none, such as one for embeddings.
   */
  max_output_tokens: number;
  /**
   * When the provider retires it, YYYY-MM-DD; null when unannounced.
   */
  deprecation_date: string | null;
  /**
   * Its prices. Absent: default_prices; without those the model is never asked.
   */
  usd_per_million_tokens?: Prices;
  /**
   * Prices of a whole request whose input is larger than a bound.
   */
  long_context?: {
    /**
     * The bound in input tokens, cached ones included.
     */
    above_tokens: number;
    usd_per_million_tokens: Prices;
  };
}
/**
 * US dollars for a million tokens of each class, at most six decimals. A class that is absent costs as input; reasoning costs as output.
 */
export interface Prices {
  /**
   * Fresh input.
   */
  input: number;
  /**
   * Input read from the cache.
   */
  cache_read?: number;
  /**
   * Input written to the cache for 5 minutes.
   */
  cache_write?: number;
  /**
   * Input written to the cache for an hour.
   */
  cache_write_1h?: number;
  /**
   * Output and reasoning.
   */
  output: number;
}
/**
 * One organisation.
 */
export interface Organization {
  /**
   * Name for people.
   */
  title: string;
  /**
   * A name of tiers: of its own limits, and of teams that have none.
   */
  tier: string;
  /**
   * IANA time zone in which budgets are counted.
   */
  timezone: string;
  /**
   * Whether its kept prompts and answers may be drawn for evaluations. Absent: no.
   */
  evaluation?: boolean;
  /**
   * Whether a credential may name no team. Absent: it must name one.
   */
  team_optional?: boolean;
  /**
   * A name of its workflows, for calls that name none. Absent: such calls are refused.
   */
  default_workflow?: string;
  /**
   * Its workflows, names of workflows.
   */
  workflows: {
    [k: string]: true;
  };
  /**
   * Upstreams that its requests may go to.
   */
  upstreams: {
    [k: string]: true;
  };
  /**
   * Names of tools that are taken out of its requests.
   */
  forbidden_tools?: {
    [k: string]: true;
  };
  /**
   * Its cap of a month.
   */
  budget: {
    /**
     * US dollars, at most six decimals.
     */
    usd: number;
  };
  /**
   * What the audit keeps of its prompts and answers.
   */
  audit: {
    /**
     * As in a decision.
     */
    content: 'full' | 'redacted' | 'none';
    /**
     * Days until the content can no longer be read.
     */
    retention_days: number;
  };
  /**
   * Its teams.
   */
  teams: {
    [k: string]: Team;
  };
  /**
   * The values that the tag `institution` may have. Absent: any.
   */
  institutions?: {
    [k: string]: Institution;
  };
}
/**
 * One team.
 */
export interface Team {
  /**
   * Name for people.
   */
  title: string;
  /**
   * A name of tiers. Absent: the organisation's.
   */
  tier?: string;
  /**
   * Its cap of a month.
   */
  budget: {
    /**
     * US dollars, at most six decimals.
     */
    usd: number;
  };
}
/**
 * One institution.
 */
export interface Institution {
  /**
   * Name for people.
   */
  title: string;
  /**
   * The values that the tag `course` may have beside this institution. Absent: any.
   */
  courses?: {
    [k: string]: true;
  };
}
/**
 * One role.
 */
export interface Role {
  /**
   * Name for people.
   */
  title: string;
  /**
   * Operations it may use.
   */
  endpoints: {
    [k: string]: true;
  };
  /**
   * Operations of the control plane (/admin/v1) it may use. Absent: none.
   */
  admin?: {
    [k: string]: true;
  };
  /**
   * Whether its operations of the control plane reach every organisation. Absent: the caller's own alone.
   */
  all_organizations?: true;
  /**
   * Roles that a key may have which its holder makes, rotates or revokes. Absent: none. Whatever is here, a role that may do more on the control plane than the holder is refused.
   */
  grants?: {
    [k: string]: true;
  };
  /**
   * Whether its holder may act for end users (x-aegis-user, user, metadata.user_id): limits, budgets and reports by user are then theirs. Absent: no.
   */
  act_for_users?: true;
  /**
   * Classes of models it may use.
   */
  classes: {
    [k: string]: true;
  };
  /**
   * Largest output.
   */
  max_output_tokens: number;
  /**
   * Kinds of content that no detector reads, each with the upstreams it may go to. What is not here is refused.
   */
  uninspected: {
    /**
     * Upstreams.
     */
    [k: string]: {
      [k: string]: true;
    };
  };
  /**
   * Cap of a day for each user. It binds users all of whose roles have one.
   */
  daily_budget?: {
    /**
     * US dollars, at most six decimals.
     */
    usd: number;
  };
}
/**
 * One tier.
 */
export interface Tier {
  /**
   * Name for people.
   */
  title: string;
  /**
   * Largest output.
   */
  max_output_tokens: number;
  /**
   * By whose they are.
   */
  limits: {
    key: TierLimits;
    user: TierLimits;
    team: TierLimits;
    org: TierLimits;
    group?: TierLimits;
    /**
     * Of the tier of an organisation: its share of each model at each upstream, by the model's class. A class that is absent has no such limit.
     */
    model?: {
      cheap?: TierLimits;
      strong?: TierLimits;
      frontier?: TierLimits;
    };
  };
}
/**
 * Rates and concurrency of one subject.
 */
export interface TierLimits {
  /**
   * Requests a minute.
   */
  requests_per_minute: number;
  /**
   * Tokens a minute, input and output.
   */
  tokens_per_minute: number;
  /**
   * Requests under way at a time.
   */
  concurrent: number;
}
/**
 * One workflow.
 */
export interface Workflow {
  /**
   * Name for people.
   */
  title: string;
  /**
   * Roles that may use it.
   */
  roles: {
    [k: string]: true;
  };
  /**
   * Class of model by kind of task, where it differs from routing.classes.
   */
  classes?: {
    /**
     * Multiple choice and yes/no.
     */
    closed?: 'cheap' | 'strong' | 'frontier';
    /**
     * Short, with nothing asked.
     */
    simple?: 'cheap' | 'strong' | 'frontier';
    /**
     * Essays, explanations, open questions.
     */
    open?: 'cheap' | 'strong' | 'frontier';
    /**
     * Open, and complex.
     */
    hard?: 'cheap' | 'strong' | 'frontier';
  };
}
/**
 * policies/quality/data.yaml: what evaluations measured, by kind of task and model. Written by `aegis eval publish`.
 */
export interface Quality {
  closed?: Measured;
  simple?: Measured;
  open?: Measured;
  hard?: Measured;
}
/**
 * By model.
 */
export interface Measured {
  [k: string]: Measurement;
}
export interface Measurement {
  /**
   * Mean score, 0 to 1.
   */
  quality: number;
  /**
   * Lower end of its 95 % interval.
   */
  low: number;
  /**
   * Upper end.
   */
  high: number;
  /**
   * Tasks that were graded.
   */
  samples: number;
  /**
   * What 1,000 tasks cost, US dollars.
   */
  usd_per_1000_tasks: number;
  /**
   * Median time of an answer.
   */
  p50_ms?: number;
  /**
   * When, YYYY-MM-DD.
   */
  measured: string;
  /**
   * The last day on which rules rely on it, YYYY-MM-DD.
   */
  valid_until: string;
  /**
   * The suite's name.
   */
  suite: string;
  /**
   * Digest of the suite and its tasks.
   */
  suite_sha256: string;
}
/**
 * policies/complexity/data.yaml: weights of content.complexity, a logistic score of the signals. Fitted by scripts/fit-complexity.ts. Absent: the gateway's own.
 */
export interface Complexity {
  /**
   * The score of a text without any signal.
   */
  bias: number;
  weights: ComplexityWeights;
}
/**
 * What each signal adds. A signal without a weight adds nothing.
 */
export interface ComplexityWeights {
  /**
   * If there are options.
   */
  multiple_choice?: number;
  /**
   * If yes or no is asked.
   */
  yes_no?: number;
  /**
   * If there is code.
   */
  code?: number;
  /**
   * If there is mathematics.
   */
  math?: number;
  /**
   * If the contrary is asked.
   */
  negated?: number;
  /**
   * For each, up to three.
   */
  instruction_verb?: number;
  /**
   * For each, up to five.
   */
  question_mark?: number;
  /**
   * For each further user message, up to five.
   */
  turn?: number;
  /**
   * For each doubling of the numbers, from one on.
   */
  number?: number;
  /**
   * Times their share of the words.
   */
  long_words?: number;
  /**
   * For each doubling of the words beyond 8.
   */
  length?: number;
  /**
   * For each tool offered, up to five.
   */
  tool?: number;
  /**
   * If the text is mostly in another script than Latin.
   */
  other_script?: number;
}
/**
 * An A/B test of chats whose model is "auto". Who takes part and in which arm is a function of the input alone. A request belongs to one at most, the first by id that draws it.
 */
export interface Experiment {
  /**
   * For people.
   */
  title: string;
  /**
   * Organisations it concerns. Absent: all.
   */
  organizations?: {
    [k: string]: true;
  };
  /**
   * Workflows it concerns. Absent: all.
   */
  workflows?: {
    [k: string]: true;
  };
  /**
   * Kinds of task it concerns. Absent: all.
   */
  tasks?: {
    [k: string]: true;
  };
  /**
   * What stays in one arm.
   */
  unit: 'user' | 'session' | 'org' | 'request';
  /**
   * A number of its own: it draws the units anew, so that this assignment says next to nothing of another experiment's (correlation of two halves 0.03 or less for 99.5 % of the pairs of salts, at most 0.11).
   */
  salt: number;
  /**
   * RFC 3339 in UTC with milliseconds, as request.time.
   */
  start: string;
  /**
   * As start; from then on nobody takes part.
   */
  end: string;
  /**
   * By name; `control` must be there. They take their shares in the order of their names, and what they leave takes no part. A unit takes part when the request could have each arm's model.
   */
  arms: {
    control: ExperimentArm;
    [k: string]: ExperimentArm;
  };
  metric: ExperimentMetric;
  guards?: ExperimentGuards;
}
/**
 * One arm.
 */
export interface ExperimentArm {
  /**
   * Per cent of the units, to the hundredth.
   */
  share: number;
  /**
   * The model that is tried first, where the caller may use it. Absent: as without the experiment.
   */
  model?: string;
  /**
   * Set on the call.
   */
  parameters?: {
    /**
     * A lower output cap. It binds whoever was drawn for the arm.
     */
    max_output_tokens?: number;
  };
}
/**
 * What the verdict rests on.
 */
export interface ExperimentMetric {
  /**
   * score: of the feedback; cost, latency: of an answer; errors, refusals: shares of the requests.
   */
  name: 'score' | 'cost' | 'latency' | 'errors' | 'refusals';
  /**
   * Which way is better.
   */
  better: 'higher' | 'lower';
}
/**
 * How much worse than control an arm may be; beyond, with certainty, everybody returns to control.
 */
export interface ExperimentGuards {
  /**
   * Share of the requests.
   */
  max_error_rate_increase?: number;
  /**
   * Share of the answers.
   */
  max_refusal_rate_increase?: number;
  /**
   * Of an answer, as a share of control's.
   */
  max_cost_increase?: number;
  /**
   * Mean time of an answer, as a share of control's.
   */
  max_latency_increase?: number;
  /**
   * Of the mean feedback.
   */
  max_score_decrease?: number;
}
/**
 * A share of the traffic that a model answers too.
 */
export interface MirrorData {
  /**
   * For people.
   */
  title: string;
  /**
   * Organisations it concerns. Absent: all.
   */
  organizations?: {
    [k: string]: true;
  };
  /**
   * Workflows it concerns. Absent: all.
   */
  workflows?: {
    [k: string]: true;
  };
  /**
   * Kinds of task it concerns. Absent: all.
   */
  tasks?: {
    [k: string]: true;
  };
  /**
   * The model.
   */
  model: string;
  /**
   * Share of the requests.
   */
  percent: number;
  /**
   * As of an experiment.
   */
  salt: number;
  /**
   * What it may cost a day (UTC) in one organisation.
   */
  usd_per_day: number;
  /**
   * RFC 3339 in UTC with milliseconds: from then on nothing is mirrored.
   */
  until: string;
}
/**
 * policies/routing/data.yaml: how model "auto" is chosen.
 */
export interface Routing {
  quality?: RoutingQuality;
  /**
   * Bounds between the kinds of task.
   */
  thresholds: {
    /**
     * From this complexity on an open task is hard.
     */
    hard_complexity: number;
    /**
     * Below it a text can be simple.
     */
    simple_complexity: number;
    /**
     * A simple text has at most this many words.
     */
    simple_words: number;
  };
  /**
   * Class of model by kind of task.
   */
  classes: {
    /**
     * Multiple choice and yes/no.
     */
    closed: 'cheap' | 'strong' | 'frontier';
    /**
     * Short, with nothing asked.
     */
    simple: 'cheap' | 'strong' | 'frontier';
    /**
     * Essays, explanations, open questions.
     */
    open: 'cheap' | 'strong' | 'frontier';
    /**
     * Open, and complex.
     */
    hard: 'cheap' | 'strong' | 'frontier';
  };
  /**
   * The next class down.
   */
  lower: {
    /**
     * Below cheap.
     */
    cheap: 'cheap' | 'strong' | 'frontier';
    /**
     * Below strong.
     */
    strong: 'cheap' | 'strong' | 'frontier';
    /**
     * Below frontier.
     */
    frontier: 'cheap' | 'strong' | 'frontier';
  };
  /**
   * Share of a budget from which on the class below is chosen.
   */
  saving_from: number;
  /**
   * Candidates by class, in order of preference.
   */
  pools: {
    cheap: Pool;
    strong: Pool;
    frontier: Pool;
  };
}
/**
 * When measured quality decides the order of models. Absent: never.
 */
export interface RoutingQuality {
  /**
   * A model is good enough whose quality is at most so much below the best.
   */
  margin: number;
  /**
   * Fewer graded tasks are no measurement.
   */
  min_samples: number;
}
/**
 * One candidate.
 */
export interface PoolCandidate {
  /**
   * A name of models.
   */
  model: string;
  /**
   * One of its upstreams.
   */
  upstream: string;
}
/**
 * policies/content/data.yaml: what becomes of detected values.
 */
export interface ContentRules {
  /**
   * By where the request may go.
   */
  redact: {
    third_party: Redactions;
    own: Redactions;
  };
}
/**
 * One entity.
 */
export interface Redaction {
  /**
   * The detected kind.
   */
  entity: 'email' | 'phone' | 'card' | 'iban' | 'us_ssn' | 'ip' | 'api_key';
  /**
   * As in a decision.
   */
  action: 'tokenize' | 'mask' | 'hash' | 'remove' | 'block';
  /**
   * As in a decision.
   *
   * @minItems 1
   * @maxItems 1
   */
  in: 'request'[];
  /**
   * As in a decision.
   *
   * @maxItems 3
   */
  restore: ('text' | 'links' | 'tool_arguments')[];
}

/**
 * A golden case in the words of the business: who asks what, and what becomes of it. A file of policies/scenarios holds one or more, as YAML documents separated by ---. The gateway reads the body and describes it as it does for a real request, then the built policy decides; nothing is sent.
 */
export interface Scenario {
  /**
   * A sentence that states the behaviour.
   */
  name: string;
  /**
   * The circumstances. What is left out has the default named in its description.
   */
  given: {
    /**
     * What the credential proves. Default of a missing field: kind key, id key_scenario, otherwise empty.
     */
    caller: {
      /**
       * The kind of credential.
       */
      kind?: 'key' | 'jwt';
      /**
       * The credential's public id.
       */
      id?: string;
      /**
       * The organisation.
       */
      org: string;
      /**
       * The team.
       */
      team?: string;
      /**
       * The user.
       */
      user?: string;
      /**
       * Roles the credential holds.
       *
       * @maxItems 32
       */
      roles: string[];
      /**
       * Groups the user belongs to.
       *
       * @maxItems 64
       */
      groups?: string[];
      /**
       * Workflows the credential is limited to.
       *
       * @maxItems 64
       */
      workflows?: string[];
      /**
       * OAuth scopes of a JWT.
       *
       * @maxItems 64
       */
      scopes?: string[];
      /**
       * Allow-listed claims of a JWT.
       */
      claims?: {
        [k: string]: string | number | boolean;
      };
    };
    /**
     * What the application declares. Default: nothing.
     */
    purpose?: {
      /**
       * x-aegis-workflow.
       */
      workflow?: string;
      /**
       * x-aegis-use-case.
       */
      use_case?: string;
      /**
       * x-aegis-session.
       */
      session?: string;
      /**
       * x-aegis-tags.
       */
      tags?: {
        [k: string]: string;
      };
    };
    /**
     * x-aegis-user. Default: not sent; a user in the body counts without it.
     */
    end_user?: string;
    /**
     * Allow-listed request headers, lower-case names. Default: none.
     */
    headers?: {
      [k: string]: string;
    };
    /**
     * When the request arrives, RFC 3339 in UTC. Default: 2026-11-24T09:00:00.000Z.
     */
    time?: string;
    /**
     * Differences from the default, in which openai, anthropic, mistral and local speak what providers of these names do, all are up, and all but local are third parties. null: not configured.
     */
    upstreams?: {
      [k: string]: null | {
        /**
         * The APIs it speaks.
         *
         * @maxItems 4
         */
        dialects?: ('openai' | 'anthropic')[];
        /**
         * The operations it speaks itself, as in a config; what is translated into them follows.
         *
         * @minItems 1
         */
        endpoints?: (
          'chat.completions' | 'responses' | 'completions' | 'embeddings' | 'messages' | 'messages.count_tokens'
        )[];
        /**
         * Whether content that goes there leaves the operator's hands.
         */
        third_party?: boolean;
        /**
         * Health.
         */
        state?: 'up' | 'degraded' | 'down';
        /**
         * Share of failed attempts of late.
         */
        error_rate?: number;
        /**
         * Median time to the first byte of late.
         */
        p50_ms?: number;
      };
    };
    /**
     * What is different in the policies' data, by the folder of its data.yaml: objects are put over what is there, null removes, anything else replaces (RFC 7396). For rules whose data change by themselves, such as measurements and experiments. Default: nothing.
     */
    data?: {};
    /**
     * Experiments that a guard stopped: {id: {stopped: true}}. Default: none.
     */
    experiments?: {
      [k: string]: {
        /**
         * Whether everybody is in the control arm.
         */
        stopped: boolean;
      };
    };
    /**
     * What is known of the caller's budgets. Default: nothing. A missing figure is 0, a missing period is the one of `time`.
     *
     * @maxItems 32
     */
    spend?: {
      /**
       * What the budget is for.
       */
      scope: 'key' | 'user' | 'group' | 'team' | 'org' | 'use_case' | 'workflow' | 'tag';
      /**
       * Whose budget it is.
       */
      subject: string;
      /**
       * The period, such as 2026-11.
       */
      period?: string;
      /**
       * Settled spend.
       */
      micro_usd: number;
      /**
       * Reserved by requests under way.
       */
      reserved_micro_usd?: number;
      /**
       * The cap.
       */
      cap_micro_usd: number;
      /**
       * Age of the figures.
       */
      age_ms?: number;
    }[];
  };
  /**
   * The request itself.
   */
  request: {
    /**
     * The operation; it implies path and dialect (messages is Anthropic's).
     */
    endpoint:
      | 'chat.completions'
      | 'responses'
      | 'completions'
      | 'embeddings'
      | 'messages'
      | 'messages.count_tokens'
      | 'models'
      | 'feedback';
    /**
     * The HTTP body, as the caller would send it. Absent for models and feedback, on which policies decide without it.
     */
    body?: {};
  };
  /**
   * What becomes of it. Only what is named is compared; null says that there is none. While it is missing, ./aegis test fails, and ./aegis test --update writes what happened.
   */
  expect?: {
    /**
     * Whether it may proceed.
     */
    allow: boolean;
    /**
     * A code of a deny entry; every other entry is allowed to be there too.
     */
    code?: string | null;
    /**
     * A piece of text that the message of the entry with `code` contains; without `code`, of the first entry.
     */
    message?: string | null;
    /**
     * A piece of text that the hint of the entry with `code` contains; without `code`, of the first entry.
     */
    hint?: string | null;
    /**
     * The model of the first candidate.
     */
    model?: string | null;
    /**
     * The upstream of the first candidate.
     */
    upstream?: string | null;
    /**
     * The models of the other candidates, in order.
     */
    fallbacks?: string[];
    /**
     * Why the candidates are in this order, in the decision's words.
     */
    reason?: string | null;
    /**
     * The A/B test that the request belongs to.
     */
    experiment?: null | {
      /**
       * The experiment.
       */
      id: string;
      /**
       * The arm.
       */
      arm: string;
    };
    /**
     * The model that also gets the request.
     */
    mirror?: string | null;
    /**
     * For endpoint models: the models listed, in order.
     */
    models?: string[] | null;
    /**
     * Action by entity; the decision must hold exactly these.
     */
    redact?: {
      [k: string]: 'tokenize' | 'mask' | 'hash' | 'remove' | 'block';
    };
    /**
     * By entity, where in the answer its placeholders are replaced by the values; the decision must hold exactly these.
     */
    restore?: {
      [k: string]: ('text' | 'links' | 'tool_arguments')[];
    };
    /**
     * The texts that leave, as the first candidate's model reads them: masked, in order, without roles. The placeholders are the same in each run. null: nothing is sent.
     */
    sends?: string[] | null;
    /**
     * Pieces of text that the body sent upstream contains, after masking. --update leaves them alone.
     */
    leaves?: string[];
    /**
     * Pieces of text that the body sent upstream must not contain. --update leaves them alone.
     */
    stays?: string[];
    /**
     * Tools taken out, in the decision's order.
     */
    tools_removed?: string[];
    /**
     * The output cap of the decision.
     */
    max_output_tokens?: number | null;
    /**
     * The rate tier.
     */
    tier?: string | null;
    /**
     * The limits in the decision's order. Of each, only what is named is compared.
     */
    limits?: {
      /**
       * What the limit is for.
       */
      scope: 'key' | 'user' | 'group' | 'team' | 'org' | 'model';
      /**
       * Whose limit it is.
       */
      subject?: string;
      /**
       * Requests a minute.
       */
      requests_per_minute?: number | null;
      /**
       * Tokens a minute, input and output.
       */
      tokens_per_minute?: number | null;
      /**
       * Requests under way at a time.
       */
      concurrent?: number | null;
    }[];
    /**
     * The budgets in the decision's order: their scopes, or entries of which only what is named is compared.
     */
    budgets?: (
      | string
      | {
          /**
           * What the budget is for.
           */
          scope: 'key' | 'user' | 'group' | 'team' | 'org' | 'use_case' | 'workflow' | 'tag';
          /**
           * Whose budget it is.
           */
          subject?: string;
          /**
           * When it starts anew.
           */
          period?: 'day' | 'month';
          /**
           * IANA time zone in which the period is counted.
           */
          timezone?: string;
          /**
           * The cap in millionths of a US dollar.
           */
          micro_usd?: number;
        }
    )[];
    /**
     * What the audit keeps of the content.
     */
    audit?: 'full' | 'redacted' | 'none' | null;
    /**
     * After how many days the content's key is destroyed.
     */
    retention_days?: number | null;
    /**
     * The end user for whom the caller acts.
     */
    acting_for?: string | null;
    /**
     * Ids of rules that must have fired; others may have fired too.
     */
    rules?: string[];
  };
}

/**
 * What the policies decided for one request to the control plane.
 */
export interface AdminDecision {
  /**
   * Whether the request may proceed. Absent, undefined or of another type means no.
   */
  allow: boolean;
  /**
   * Why not. Message and hint reach the caller. Sorted by rule.
   *
   * @maxItems 32
   */
  deny: {
    /**
     * A stable code for programs.
     */
    code: string;
    /**
     * One sentence for people.
     */
    message: string;
    /**
     * What would have been allowed; may be empty.
     */
    hint: string;
    /**
     * Id of the rule that denied.
     */
    rule: string;
  }[];
  /**
   * The organisation that the operation is confined to: the gateway looks at no other's data. null: all of them. Absent: the caller's own.
   */
  org?: string | null;
}

/**
 * The body of POST /admin/v1/keys.
 */
export interface CreateKey {
  /**
   * Organisation. Absent: the caller's own.
   */
  org?: string;
  /**
   * Team inside the organisation. Absent: none.
   */
  team?: string;
  /**
   * Whom the key acts for. Absent: a service.
   */
  user?: string;
  /**
   * Roles, each of which the caller may grant.
   *
   * @minItems 1
   * @maxItems 32
   */
  roles: string[];
  /**
   * Groups. Absent: none.
   *
   * @maxItems 64
   */
  groups?: string[];
  /**
   * The only workflows it may serve. Absent: those its roles allow.
   *
   * @maxItems 64
   */
  workflows?: string[];
  /**
   * When it ends, RFC 3339. Absent or null: never.
   */
  expires?: string | null;
}

/**
 * The body of POST /admin/v1/keys/{id}/rotate; it may be left out.
 */
export interface RotateKey {
  /**
   * How long the old key works beside the new one, seconds. Absent: an hour.
   */
  overlap_s?: number;
}

/**
 * An evaluation: the same tasks put to several models through the gateway, graded, with quality, cost and latency of each. Run by `aegis eval run`.
 */
export interface Suite {
  /**
   * For editors.
   */
  $schema?: string;
  /**
   * Name of the suite; of its folder of results too.
   */
  name: string;
  /**
   * A line for people.
   */
  title?: string;
  /**
   * The kind of task, as policies/routing/data.yaml names it: under it `eval publish` writes the results.
   */
  task: 'closed' | 'simple' | 'open' | 'hard';
  dataset: SuiteDataset;
  prompt?: SuitePrompt;
  parameters?: SuiteParameters;
  /**
   * Models of the catalogue to compare; the first is what the others are compared with.
   *
   * @minItems 1
   * @maxItems 16
   */
  models: string[];
  /**
   * How an answer is judged. The score of an answer is the weighted mean of its graders' scores, 0 to 1.
   *
   * @minItems 1
   * @maxItems 8
   */
  graders: SuiteGrader[];
  /**
   * How often each task is put to each model. Default: 1.
   */
  repeats?: number;
  /**
   * Requests at a time. Default: 4.
   */
  concurrency?: number;
  /**
   * The run stops before it would cost more, judges included. Default: 5.
   */
  budget_usd?: number;
  purpose?: SuitePurpose;
}
/**
 * Where the tasks come from; exactly one of items, file and audit. A task is an object; its fields fill {{field}} of the prompt and of the graders. `id` names it, else its position does.
 */
export interface SuiteDataset {
  /**
   * The tasks themselves.
   *
   * @minItems 1
   */
  items?: {}[];
  /**
   * JSON Lines (.jsonl) or CSV with a header (.csv), relative to the suite.
   */
  file?: string;
  audit?: SuiteAudit;
  /**
   * Only tasks whose fields have these values.
   */
  where?: {
    [k: string]: string | number | boolean;
  };
  /**
   * At most so many tasks, drawn by `seed`.
   */
  limit?: number;
  /**
   * Of the draw. Default: 1.
   */
  seed?: number;
}
/**
 * Recorded requests whose content the audit kept; each is a task with `messages` (as the models got them: masked where they were) and `answer`, the recorded one. Only organisations whose data have `evaluation: true` are drawn from.
 */
export interface SuiteAudit {
  /**
   * Of this organisation alone.
   */
  org?: string;
  /**
   * Of this workflow.
   */
  workflow?: string;
  /**
   * Of this use case.
   */
  use_case?: string;
  /**
   * Not older: a duration such as 7d, or RFC 3339.
   */
  since?: string;
  /**
   * Not younger.
   */
  until?: string;
  /**
   * Only requests that were mirrored, with the answer of the mirror as `mirror_answer`.
   */
  mirrored?: boolean;
}
/**
 * How a task is asked. Absent: the task's own `messages`.
 */
export interface SuitePrompt {
  /**
   * System message, with {{field}}.
   */
  system?: string;
  /**
   * User message, with {{field}}.
   */
  user: string;
}
/**
 * Sent with each request, as OpenAI's chat completions has them.
 */
export interface SuiteParameters {
  /**
   * Output cap. Default: 1024.
   */
  max_completion_tokens?: number;
  /**
   * Sampling temperature.
   */
  temperature?: number;
  /**
   * As the API has it.
   */
  response_format?: {};
  /**
   * As the API has it.
   */
  reasoning_effort?: string;
}
export interface SuiteGrader {
  /**
   * exact: equal to `expected`; normalized: equal but for case, accents, punctuation, articles and blanks; contains: `expected` occurs, normalised; regex: `pattern` matches; json_schema: the answer is JSON of `schema`; number: the last number is `expected` within `tolerance`; choice: the letter chosen is `expected`; judge: a model scores it against `rubric`; pairwise: a model prefers it to the first model's answer or not, asked in both orders; latency: 1 up to `best_ms`, 0 from `worst_ms` on; cost: 1 up to `best_usd`, 0 from `worst_usd` on.
   */
  kind:
    | 'exact'
    | 'normalized'
    | 'contains'
    | 'regex'
    | 'json_schema'
    | 'number'
    | 'choice'
    | 'judge'
    | 'pairwise'
    | 'latency'
    | 'cost';
  /**
   * Of its column. Default: the kind.
   */
  name?: string;
  /**
   * Share in the score. Default 1; 0 reports alone.
   */
  weight?: number;
  /**
   * The right answer, with {{field}}; a list where several are right.
   */
  expected?: string | string[];
  /**
   * Of regex, with {{field}} quoted.
   */
  pattern?: string;
  /**
   * Of json_schema: draft-07, without remote references.
   */
  schema?: {};
  /**
   * Of number: absolute, or relative as 1%. Default: 0.
   */
  tolerance?: number | string;
  /**
   * Of judge and pairwise: the model that judges. It should be none of those compared.
   */
  model?: string;
  /**
   * Of judge and pairwise: what a good answer is, with {{field}}.
   */
  rubric?: string;
  /**
   * Of judge: the best mark; the worst is 1. Default: 5.
   */
  scale?: number;
  /**
   * Field of the task that holds a person's mark of the recorded answer, to report how far the judge agrees. Of judge: a number on the scale by model, {model: mark}.
   */
  human?: string;
  /**
   * Of latency.
   */
  best_ms?: number;
  /**
   * Of latency.
   */
  worst_ms?: number;
  /**
   * Of cost, of one answer.
   */
  best_usd?: number;
  /**
   * Of cost, of one answer.
   */
  worst_usd?: number;
}
/**
 * Under which requests are reported. Default: use case `evaluation`; the tag `suite` is always set to the suite's name.
 */
export interface SuitePurpose {
  /**
   * x-aegis-workflow.
   */
  workflow?: string;
  /**
   * x-aegis-use-case.
   */
  use_case?: string;
  /**
   * x-aegis-tags.
   */
  tags?: {
    [k: string]: string;
  };
}

/**
 * results.json of `aegis eval run`: what an evaluation found. Money in US dollars, scores from 0 to 1.
 */
export interface EvalResults {
  /**
   * For editors.
   */
  $schema?: string;
  /**
   * Of this format.
   */
  version: 1;
  /**
   * Name of the suite.
   */
  suite: string;
  /**
   * Its title, or its name.
   */
  title: string;
  /**
   * The kind of task it measures.
   */
  task: 'closed' | 'simple' | 'open' | 'hard';
  /**
   * Digest of the suite and its tasks.
   */
  suite_sha256: string;
  /**
   * When the first model was asked, RFC 3339.
   */
  began: string;
  end: EvalEnd;
  /**
   * Whether every task of the suite was put to every model and has a result.
   */
  is_complete: boolean;
  /**
   * Tasks of the suite.
   */
  tasks: number;
  /**
   * Of these, how many the run was to ask (--limit).
   */
  tasks_asked: number;
  /**
   * How often each task was put to each model.
   */
  repeats: number;
  /**
   * Tasks that every compared model has a score for: quality, cost and the front are of these.
   */
  compared_tasks: number;
  /**
   * What it might cost.
   */
  budget_usd: number;
  /**
   * What it cost, judges included.
   */
  spent_usd: number;
  /**
   * What a reader must know before the figures.
   */
  notes: string[];
  /**
   * Columns.
   */
  graders: EvalGrader[];
  /**
   * In the order of the suite.
   */
  models: EvalModel[];
  /**
   * Of each model with the first.
   */
  comparisons: EvalComparison[];
  /**
   * Graders that asked a model.
   */
  judges: EvalJudge[];
  /**
   * Each task.
   */
  items: EvalItem[];
}
/**
 * How the run ended.
 */
export interface EvalEnd {
  /**
   * done; stopped by a person; budget: the next call could have cost more than was left; failed: no further call would have been answered.
   */
  reason: 'done' | 'stopped' | 'budget' | 'failed';
  /**
   * What failed.
   */
  message: string | null;
}
/**
 * A grader.
 */
export interface EvalGrader {
  /**
   * Its column.
   */
  name: string;
  /**
   * As in the suite.
   */
  kind: string;
  /**
   * Share in the score.
   */
  weight: number;
}
/**
 * What came of one model.
 */
export interface EvalModel {
  /**
   * Its name.
   */
  model: string;
  /**
   * Tasks that were to be put to it.
   */
  tasks: number;
  /**
   * Tasks with a score.
   */
  graded: number;
  /**
   * Whether it answered enough of the tasks to be compared: at least half.
   */
  is_compared: boolean;
  /**
   * Whether no other model is better at no more cost, or cheaper and no worse.
   */
  is_on_front: boolean;
  /**
   * Mean score, of the compared tasks where it is compared; null without a score.
   */
  quality: EvalInterval | null;
  /**
   * Mean of each grader over the same tasks; null where it gave no score.
   */
  graders: {
    [k: string]: number | null;
  };
  /**
   * Cost of 1,000 such answers, US dollars.
   */
  usd_per_1000_tasks: number | null;
  /**
   * Cost of all its calls, failed ones included.
   */
  total_usd: number;
  /**
   * Median time of an answer.
   */
  p50_ms: number | null;
  /**
   * 95 of 100 were faster.
   */
  p95_ms: number | null;
  /**
   * Of all answers.
   */
  input_tokens: number;
  /**
   * Of all answers.
   */
  output_tokens: number;
  /**
   * Answers that came.
   */
  answers: number;
  /**
   * Calls that failed, by error.
   */
  failures: {
    [k: string]: number;
  };
  /**
   * Calls whose result is unknown.
   */
  lost: number;
  /**
   * Answers without a score because a judge gave none.
   */
  unmarked: number;
}
/**
 * A figure with its 95 % interval.
 */
export interface EvalInterval {
  /**
   * The figure.
   */
  estimate: number;
  /**
   * Lower end.
   */
  low: number;
  /**
   * Upper end.
   */
  high: number;
}
/**
 * A model against the first on the tasks that both have a score for.
 */
export interface EvalComparison {
  /**
   * The other model.
   */
  model: string;
  /**
   * The first.
   */
  baseline: string;
  /**
   * How many.
   */
  tasks: number;
  /**
   * Mean difference of their scores, the other's less the first's.
   */
  difference: number;
  /**
   * Lower end of its 95 % interval.
   */
  low: number;
  /**
   * Upper end.
   */
  high: number;
  /**
   * Of a sign-flip test: how probable so large a difference is between models that are alike.
   */
  p_value: number;
  /**
   * Tasks on which the other scored more.
   */
  wins: number;
  /**
   * The same.
   */
  ties: number;
  /**
   * Less.
   */
  losses: number;
}
/**
 * A grader that asked a model.
 */
export interface EvalJudge {
  /**
   * Its column.
   */
  grader: string;
  /**
   * judge or pairwise.
   */
  kind: 'judge' | 'pairwise';
  /**
   * The judge.
   */
  model: string;
  /**
   * What it was asked, with names in place of what was judged.
   */
  prompt: string;
  /**
   * Calls made.
   */
  calls: number;
  /**
   * Calls that had to be made again because no mark was found.
   */
  reminders: number;
  /**
   * Judgements without a mark all the same.
   */
  unmarked: number;
  /**
   * Calls that failed.
   */
  failed: number;
  /**
   * Calls whose result is unknown.
   */
  lost: number;
  /**
   * What judging cost.
   */
  total_usd: number;
  /**
   * Of a pairwise judge: share of pairs in which the order of the answers decided. 0 is without position bias; null without pairs.
   */
  order_decided: number | null;
  /**
   * With people's marks; null without any.
   */
  agreement: EvalAgreement | null;
}
/**
 * How far the judge agrees with people.
 */
export interface EvalAgreement {
  /**
   * Answers that both marked.
   */
  marks: number;
  /**
   * Share of equal marks.
   */
  exact: number;
  /**
   * Cohen's, quadratic weights; null when one of them gave one mark only.
   */
  kappa: number | null;
  /**
   * Rank correlation; null likewise.
   */
  spearman: number | null;
}
/**
 * A task with the answers side by side.
 */
export interface EvalItem {
  /**
   * Of the dataset.
   */
  id: string;
  /**
   * As it was put.
   */
  prompt: string;
  /**
   * By model, then repeat.
   */
  answers: EvalAnswer[];
}
/**
 * An answer to a task.
 */
export interface EvalAnswer {
  /**
   * Who was asked.
   */
  model: string;
  /**
   * The how-manieth time, from 0.
   */
  repeat: number;
  /**
   * answered; failed: an error came in its place; lost: asked before a crash, its result unknown; unasked.
   */
  state: 'answered' | 'failed' | 'lost' | 'unasked';
  /**
   * The answer.
   */
  text: string;
  /**
   * Why there is none.
   */
  error: string | null;
  /**
   * Weighted mean of the grades; null when it is missing.
   */
  score: number | null;
  /**
   * By grader.
   */
  grades: EvalGrade[];
  /**
   * What it cost, US dollars.
   */
  usd: number;
  /**
   * Time until it was whole.
   */
  ms: number;
  /**
   * Tokens of the prompt.
   */
  input_tokens: number;
  /**
   * Tokens of the answer.
   */
  output_tokens: number;
  /**
   * Of `aegis explain`.
   */
  decision_id: string | null;
}
/**
 * A grader's word on an answer.
 */
export interface EvalGrade {
  /**
   * Its column.
   */
  grader: string;
  /**
   * 0 to 1; null when it is missing, which is not 0.
   */
  score: number | null;
  /**
   * In a few words, what it saw.
   */
  note: string;
}

/**
 * Body of POST /v1/feedback: what an application thinks of an answer. Sent again by the same caller it replaces what was said before.
 */
export interface Feedback {
  /**
   * The answer's x-aegis-decision-id.
   */
  decision_id: string;
  /**
   * How good it was, 0 to 1.
   */
  score?: number;
  /**
   * A kind, such as wrong or too_long.
   */
  label?: string;
  /**
   * Words of a person.
   */
  comment?: string;
}
