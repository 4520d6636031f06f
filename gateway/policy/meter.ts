import { unsignedLeb, WasmReader } from './wasm-reader.ts';

/** The name under which a metered module exports what is left of its fuel: a mutable i32. */
export const FUEL_EXPORT = 'aegis_fuel';

/** The most fuel there can be; also what a fresh instance starts with, so that it can initialise itself. */
export const MAX_FUEL = 0x7fff_ffff;

const SECTION = { custom: 0, import: 2, memory: 5, global: 6, export: 7, dataCount: 12, code: 10 } as const;
const KIND = { function: 0, memory: 2, global: 3 } as const;
const I32 = 0x7f;

/** A module that pays for its steps, and what the gateway must know to load it. */
export interface MeteredModule {
  bytes: Uint8Array<ArrayBuffer>;
  /** Pages (64 KB) of memory without which it does not load. */
  minPages: number;
}

interface Section {
  id: number;
  start: number;
  end: number;
}

/**
 * Rewrites a WebAssembly module so that it pays one unit of fuel at each turn of a loop and each entry of a function that
 * calls others, and traps when none is left. Every cycle of a program passes through one of the two, so the fuel bounds
 * the steps whatever the program does; and the same input uses the same fuel on every machine, which a clock does not
 * promise.
 * A new global goes behind the others, so no index changes. Throws on a module that it does not fully understand.
 */
export const meterModule = (source: Uint8Array): MeteredModule => {
  const sections = readSections(source);
  const imports = readImports(source, sections);
  const fuel = countGlobals(source, sections); // no global is imported, so the index of the new one
  const chunks: Uint8Array[] = [source.subarray(0, 8)];
  let globalsWritten = false;
  for (const section of sections) {
    if (section.id === SECTION.memory)
      throw new Error('wasm: the module brings its own memory, which cannot be capped');
    if (!globalsWritten && section.id >= SECTION.global && section.id !== SECTION.dataCount) {
      chunks.push(globalSection(source, section.id === SECTION.global ? section : undefined));
      globalsWritten = true;
      if (section.id === SECTION.global) continue;
    }
    if (section.id === SECTION.export) chunks.push(exportSection(source, section, fuel));
    else if (section.id === SECTION.code) chunks.push(codeSection(source, section, fuel));
    else chunks.push(sectionOf(section.id, [source.subarray(section.start, section.end)]));
  }
  return { bytes: concat(chunks), minPages: imports.minPages };
};

const readSections = (source: Uint8Array): Section[] => {
  const header = Buffer.from(source.subarray(0, 8)).toString('hex');
  if (header !== '0061736d01000000') throw new Error('wasm: not a WebAssembly module of version 1');
  const reader = new WasmReader(source, 8);
  const sections: Section[] = [];
  while (!reader.done) {
    const id = reader.byte();
    if (id > SECTION.dataCount) throw new Error(`wasm: unknown section ${id}`);
    const length = reader.u32();
    const start = reader.at;
    reader.skip(length);
    sections.push({ id, start, end: reader.at });
  }
  for (const id of [SECTION.import, SECTION.export, SECTION.code]) {
    if (sections.filter((section) => section.id === id).length !== 1)
      throw new Error(`wasm: section ${id} is not there once`);
  }
  return sections;
};

/** What the SDK provides. `opa_println` is not among them: nothing that a policy prints belongs on the gateway's output. */
const IMPORTS = new Set(['opa_abort', 'opa_builtin0', 'opa_builtin1', 'opa_builtin2', 'opa_builtin3', 'opa_builtin4']);

const readImports = (source: Uint8Array, sections: Section[]): { minPages: number } => {
  const section = sections.find(({ id }) => id === SECTION.import) as Section;
  const reader = new WasmReader(source, section.start, section.end);
  let minPages = -1;
  for (let left = reader.u32(); left > 0; left--) {
    const from = reader.text();
    const name = reader.text();
    const kind = reader.byte();
    if (from === 'env' && kind === KIND.function && IMPORTS.has(name)) reader.u32();
    else if (from === 'env' && kind === KIND.memory && name === 'memory' && minPages < 0) {
      const flags = reader.byte();
      if (flags > 1) throw new Error('wasm: a shared or 64-bit memory');
      minPages = reader.u32();
      if (flags === 1) reader.u32();
    } else throw new Error(`wasm: import ${from}.${name} is not expected`);
  }
  if (minPages < 0) throw new Error('wasm: the module does not import env.memory');
  return { minPages };
};

const countGlobals = (source: Uint8Array, sections: Section[]): number => {
  const section = sections.find(({ id }) => id === SECTION.global);
  return section === undefined ? 0 : new WasmReader(source, section.start, section.end).u32();
};

/** The section of globals with the fuel behind the others. */
const globalSection = (source: Uint8Array, section: Section | undefined): Uint8Array => {
  const own = Uint8Array.of(I32, 0x01, 0x41, ...[0xff, 0xff, 0xff, 0xff, 0x07], 0x0b); // mutable i32, i32.const MAX_FUEL
  if (section === undefined) return sectionOf(SECTION.global, [Uint8Array.of(1), own]);
  const reader = new WasmReader(source, section.start, section.end);
  const count = reader.u32();
  return sectionOf(SECTION.global, [
    Uint8Array.from(unsignedLeb(count + 1)),
    source.subarray(reader.at, section.end),
    own,
  ]);
};

const exportSection = (source: Uint8Array, section: Section, fuel: number): Uint8Array => {
  const reader = new WasmReader(source, section.start, section.end);
  const count = reader.u32();
  const rest = reader.at;
  for (let left = count; left > 0; left--) {
    const name = reader.text();
    if (name === FUEL_EXPORT) throw new Error(`wasm: the module already exports ${FUEL_EXPORT}`);
    reader.byte();
    reader.u32();
  }
  return sectionOf(SECTION.export, [
    Uint8Array.from(unsignedLeb(count + 1)),
    source.subarray(rest, section.end),
    Uint8Array.of(FUEL_EXPORT.length, ...Buffer.from(FUEL_EXPORT), KIND.global, ...unsignedLeb(fuel)),
  ]);
};

/** fuel = fuel - 1; if (fuel < 0) unreachable */
const charge = (fuel: number): Uint8Array => {
  const index = unsignedLeb(fuel);
  return Uint8Array.of(
    ...[0x23, ...index, 0x41, 1, 0x6b, 0x24, ...index],
    ...[0x23, ...index, 0x41, 0, 0x48, 0x04, 0x40, 0x00, 0x0b],
  );
};

const codeSection = (source: Uint8Array, section: Section, fuel: number): Uint8Array => {
  const reader = new WasmReader(source, section.start, section.end);
  const count = reader.u32();
  const toll = charge(fuel);
  const chunks: Uint8Array[] = [Uint8Array.from(unsignedLeb(count))];
  for (let left = count; left > 0; left--) {
    const length = reader.u32();
    const start = reader.at;
    reader.skip(length);
    const pieces = functionBody(new WasmReader(source, start, reader.at), toll);
    chunks.push(Uint8Array.from(unsignedLeb(lengthOf(pieces))), ...pieces);
  }
  if (!reader.done) throw new Error('wasm: bytes behind the last function');
  return sectionOf(SECTION.code, chunks);
};

/**
 * One function's locals and code with the toll at the head of each loop, and at its entry if it calls: a function without
 * calls cannot be part of a recursion, so its loops alone are worth charging (3 % less overhead).
 */
const functionBody = (reader: WasmReader, toll: Uint8Array): Uint8Array[] => {
  const start = reader.at;
  for (let groups = reader.u32(); groups > 0; groups--) {
    reader.u32();
    reader.byte();
  }
  const entry = reader.at;
  const heads: number[] = [];
  let calls = false;
  while (!reader.done) {
    const opcode = reader.byte();
    reader.skipImmediates(opcode);
    if (opcode === 0x03) heads.push(reader.at);
    if (opcode === 0x10 || opcode === 0x11) calls = true;
  }
  if (calls) heads.unshift(entry);
  const pieces: Uint8Array[] = [];
  let from = start;
  for (const head of heads) {
    pieces.push(reader.bytes.subarray(from, head), toll);
    from = head;
  }
  pieces.push(reader.bytes.subarray(from, reader.end));
  return pieces;
};

const lengthOf = (chunks: Uint8Array[]): number => chunks.reduce((total, chunk) => total + chunk.length, 0);

const sectionOf = (id: number, chunks: Uint8Array[]): Uint8Array =>
  concat([Uint8Array.of(id, ...unsignedLeb(lengthOf(chunks))), ...chunks]);

const concat = (chunks: Uint8Array[]): Uint8Array<ArrayBuffer> => {
  const bytes = new Uint8Array(lengthOf(chunks));
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
};
