import { anthropicWire } from './anthropic.ts';
import { BadRequest, type SandboxWire } from './wire.ts';

/** Anthropic's count of a message's tokens: https://docs.anthropic.com/en/api/messages-count-tokens. */
export const countTokensWire: SandboxWire = {
  ...anthropicWire,

  read: (body, headers) => {
    for (const name of ['max_tokens', 'stream', 'temperature']) {
      if (body[name] !== undefined) throw new BadRequest(`${name}: Extra inputs are not permitted`, null);
    }
    return anthropicWire.read({ ...body, max_tokens: 1 }, headers);
  },

  whole: (_turn, reply) => ({ input_tokens: reply.inputTokens }),

  events: () => [],
};
