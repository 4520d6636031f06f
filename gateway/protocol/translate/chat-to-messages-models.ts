/** What a model at an upstream that speaks messages takes, as far as a translation must know. */
export interface MessagesModel {
  /** `thinking: adaptive` with `output_config.effort`; the others think with a budget of tokens. */
  readonly isAdaptive: boolean;
  /** Messages of the role `system` in the middle of a conversation. */
  readonly takesLaterSystem: boolean;
}

/**
 * Told by the model's name, whatever a cloud puts around it. Claude thinks adaptively from 4.6 on and takes system
 * messages later in a conversation from 4.8 on (platform.claude.com: adaptive thinking, mid-conversation system
 * messages). A Claude without a number is taken for a current one; what is no Claude (vLLM, llama.cpp) has neither.
 */
export const messagesModel = (name: string): MessagesModel => {
  const version = versionOf(name);
  return { isAdaptive: version >= 406, takesLaterSystem: version >= 408 };
};

/** Version 4.8 as 408. */
const versionOf = (name: string): number => {
  const at = name.indexOf('claude-');
  if (at < 0) return 0;
  const rest = name.slice(at + 'claude-'.length);
  // claude-3-5-sonnet, claude-2.1, claude-instant-1: the number came first up to 3.7.
  if (/^(?:v?\d|instant)/.test(rest)) return 300;
  const match = /^[a-z]+-(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)/.exec(rest);
  return match ? Number(match[1]) * 100 + Number(match[2] ?? 0) : Number.POSITIVE_INFINITY;
};
