const PREFIX = 'whsec_';
const LEAST_BYTES = 24;
const MOST_BYTES = 64;

/** The bytes of a webhook's secret, as Standard Webhooks writes it: `whsec_` and the base64 of 24 to 64; null for another. */
export const webhookSecretOf = (text: string): Buffer | null => {
  const encoded = text.slice(PREFIX.length);
  if (!text.startsWith(PREFIX) || !/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(encoded))
    return null;
  const bytes = Buffer.from(encoded, 'base64');
  return bytes.length >= LEAST_BYTES && bytes.length <= MOST_BYTES ? bytes : null;
};
