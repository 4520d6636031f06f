import { readFileSync, writeFileSync } from 'node:fs';
import { compile } from 'json-schema-to-typescript';

// One source for each shape: schemas/*.json are written by hand, the types are made from them.
// `--check` compares instead of writing and exits 1 on a difference.
const SCHEMAS = [
  'input',
  'decision',
  'explanation',
  'config',
  'manifest',
  'rollout',
  'audit',
  'policy-data',
  'scenario',
  'admin-input',
  'admin-decision',
  'admin-create-key',
  'admin-rotate-key',
  'suite',
  'eval-results',
  'feedback',
];
const TARGET = 'gateway/types.gen.ts';

const parts = ['// Generated from schemas/*.json by scripts/generate-types.ts. Do not edit.\n'];
for (const name of SCHEMAS) {
  let schema: string;
  try {
    schema = readFileSync(`schemas/${name}.json`, 'utf8');
  } catch {
    continue;
  }
  const source = JSON.parse(schema);
  delete source.$id;
  parts.push(
    await compile(source, source.title, {
      bannerComment: '',
      ignoreMinAndMaxItems: true,
      additionalProperties: false,
      style: { singleQuote: true, printWidth: 120 },
    }),
  );
}
const text = parts.join('\n');
if (process.argv.includes('--check')) {
  if (readFileSync(TARGET, 'utf8') !== text) {
    console.error(`${TARGET} is not what schemas/ say: run npm run types:generate`);
    process.exit(1);
  }
} else {
  writeFileSync(TARGET, text);
}
