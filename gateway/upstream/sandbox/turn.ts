/** A tool a request offers. */
export interface SandboxTool {
  readonly name: string;
  /** JSON Schema of its arguments. */
  readonly schema: unknown;
}

/** What the sandbox understands of a request, whatever its dialect. */
export interface Turn {
  readonly model: string;
  /** The newest text of the user. */
  readonly prompt: string;
  /**
   * Every text of the conversation in order: the sandbox repeats from it what looks like an address or a placeholder.
   */
  readonly texts: readonly string[];
  /** The newest tool result, when the conversation ends with one. */
  readonly toolResult: string | null;
  readonly maxTokens: number;
  readonly stop: readonly string[];
  readonly stream: boolean;
  readonly tools: readonly SandboxTool[];
  /** The tool the model must call; null when it need not. */
  readonly forcedTool: SandboxTool | null;
  /** Schema of the JSON asked for; `{}` for any object; null for text. */
  readonly jsonSchema: unknown;
}

/** What the sandbox answers, whatever the dialect. */
export interface Reply {
  readonly text: string;
  readonly toolCall: { readonly name: string; readonly arguments: string } | null;
  /** Why it ends. */
  readonly finish: 'end' | 'length' | 'stop_sequence' | 'tool';
  readonly stopSequence: string | null;
  readonly inputTokens: number;
  readonly outputTokens: number;
}
