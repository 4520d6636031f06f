import { enableCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';

// A command of a second spends most of it on compiling. The cache is the checkout's own: what lies in a folder that others
// may write to could be code of theirs. Where it cannot be written Node goes on without it.
enableCompileCache(fileURLToPath(new URL('../node_modules/.cache/aegis', import.meta.url)));

const { runProgram } = await import('./cli/program.ts');
await runProgram(process.argv);
