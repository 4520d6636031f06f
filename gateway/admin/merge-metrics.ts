/** What one process says in Prometheus' text format, and the value of the label that tells it apart. */
export interface WorkerMetrics {
  readonly worker: number;
  readonly text: string;
}

const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?( .*)$/;

/**
 * The metrics of several processes as one text: each sample gets the label `worker`, and each family stands together
 * with its HELP and TYPE once, as the format asks (prometheus.io/docs/instrumenting/exposition_formats).
 */
export const mergeMetrics = (texts: readonly WorkerMetrics[]): string => {
  const families = new Map<string, { head: string[]; samples: string[] }>();
  const familyOf = (name: string) => {
    let family = families.get(name);
    if (!family) {
      family = { head: [], samples: [] };
      families.set(name, family);
    }
    return family;
  };
  for (const { worker, text } of texts) {
    // Samples follow the head of their family; those of a histogram have its name and a suffix.
    let current = '';
    for (const line of text.split('\n')) {
      if (line.startsWith('# HELP ') || line.startsWith('# TYPE ')) {
        current = line.split(' ', 3)[2] as string;
        const { head } = familyOf(current);
        if (!head.some((known) => known.slice(0, 7) === line.slice(0, 7))) head.push(line);
        continue;
      }
      const match = SAMPLE.exec(line);
      if (!match) continue;
      const [, name = '', labels, rest = ''] = match;
      const all = labels ? `${labels},worker="${worker}"` : `worker="${worker}"`;
      familyOf(current !== '' && name.startsWith(current) ? current : name).samples.push(`${name}{${all}}${rest}`);
    }
  }
  let out = '';
  for (const { head, samples } of families.values()) out += `${[...head, ...samples].join('\n')}\n`;
  return out;
};
