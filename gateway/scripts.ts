/** First and last code points of the scripts that are told apart, as ISO 15924 names them. */
const RANGES: readonly (readonly [number, number, string])[] = [
  [0x41, 0x24f, 'Latn'],
  [0x370, 0x3ff, 'Grek'],
  [0x400, 0x52f, 'Cyrl'],
  [0x530, 0x58f, 'Armn'],
  [0x590, 0x5ff, 'Hebr'],
  [0x600, 0x77f, 'Arab'],
  [0x900, 0x97f, 'Deva'],
  [0x980, 0x9ff, 'Beng'],
  [0xb80, 0xbff, 'Taml'],
  [0xe00, 0xe7f, 'Thai'],
  [0x10a0, 0x10ff, 'Geor'],
  [0x1e00, 0x1eff, 'Latn'],
  [0x3040, 0x30ff, 'Jpan'],
  [0x3400, 0x4dbf, 'Hani'],
  [0x4e00, 0x9fff, 'Hani'],
  [0xac00, 0xd7af, 'Hang'],
];

const MOST_SCRIPTS = 8;
/** Letters looked at: even over the text. */
const LOOKS = 512;

/** The scripts of a text, most frequent first; those of less than one letter in fifty are left out. */
export const scriptsOf = (text: string): string[] => {
  const counts = new Map<string, number>();
  const step = Math.max(1, Math.floor(text.length / LOOKS));
  let letters = 0;
  let latin = 0;
  for (let at = 0; at < text.length; at += step) {
    const code = text.charCodeAt(at);
    if (code < 128) {
      const lower = code | 0x20;
      if (lower >= 0x61 && lower <= 0x7a) latin++;
      continue;
    }
    const script = code < 0xaa ? undefined : RANGES.find(([first, last]) => code >= first && code <= last)?.[2];
    if (script === undefined) continue;
    letters++;
    counts.set(script, (counts.get(script) ?? 0) + 1);
  }
  if (latin > 0) counts.set('Latn', (counts.get('Latn') ?? 0) + latin);
  letters += latin;
  return [...counts]
    .filter(([, count]) => count * 50 >= letters)
    .sort((a, b) => b[1] - a[1])
    .slice(0, MOST_SCRIPTS)
    .map(([script]) => script);
};
