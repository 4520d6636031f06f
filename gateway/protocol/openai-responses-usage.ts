import { isObject } from './fields.ts';
import { openaiUsage, parsed } from './openai-chat-usage.ts';
import type { ReportedUsage, StreamUsage } from './protocol.ts';

/** The `usage` of a response in disjoint classes; null when there is none. It is that of chat in other words. */
export const responsesUsage = (body: unknown): ReportedUsage | null => {
  const usage = isObject(body) ? body.usage : undefined;
  if (!isObject(usage)) return null;
  return openaiUsage({
    usage: {
      prompt_tokens: usage.input_tokens,
      prompt_tokens_details: usage.input_tokens_details,
      completion_tokens: usage.output_tokens,
      completion_tokens_details: usage.output_tokens_details,
      total_tokens: usage.total_tokens,
    },
  });
};

/** A reader of the usage of a stream: the last response that has one counts, which is that of the terminal event. */
export const responsesStreamUsage = (): StreamUsage => {
  let last: ReportedUsage | null = null;
  return {
    feed(data) {
      // The first events repeat the whole request and have `"usage":null`.
      if (!COUNTS.test(data)) return;
      const event = parsed(data);
      if (isObject(event)) last = responsesUsage(event.response) ?? last;
    },
    result: () => last,
  };
};

const COUNTS = /"(?:in|out)put_tokens"/;
