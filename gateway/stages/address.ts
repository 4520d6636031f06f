/**
 * A peer's address as policies compare it: IPv4-mapped IPv6 as IPv4 (`::ffff:10.1.2.3` is in no IPv4 range), and
 * without a zone.
 */
export const addressOf = (remote: string): string => {
  const zone = remote.indexOf('%');
  const address = zone < 0 ? remote : remote.slice(0, zone);
  return MAPPED.test(address) ? address.slice(7) : address;
};

const MAPPED = /^::ffff:\d{1,3}(?:\.\d{1,3}){3}$/i;
