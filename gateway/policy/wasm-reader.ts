/**
 * A cursor over the bytes of a WebAssembly module (core specification 2.0, chapter 5). Every read checks the end; a
 * malformed module throws, so that it is refused and never half understood.
 */
export class WasmReader {
  readonly bytes: Uint8Array;
  at: number;
  readonly end: number;

  constructor(bytes: Uint8Array, at = 0, end = bytes.length) {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
  }

  get done(): boolean {
    return this.at >= this.end;
  }

  byte(): number {
    if (this.at >= this.end) throw new Error(`wasm: unexpected end at byte ${this.at}`);
    return this.bytes[this.at++] as number;
  }

  /** Moves over `count` bytes. */
  skip(count: number): void {
    if (count > this.end - this.at) throw new Error(`wasm: unexpected end at byte ${this.at}`);
    this.at += count;
  }

  /** An unsigned LEB128 of at most 32 bits. */
  u32(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.byte();
      if (shift === 28 && byte > 0x0f) break;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw new Error(`wasm: a number is too long before byte ${this.at}`);
  }

  /** Moves over a signed LEB128 of at most `bits` bits; its value is not needed. */
  skipSigned(bits: 32 | 33 | 64): void {
    const longest = Math.ceil(bits / 7);
    for (let length = 1; length <= longest; length++) {
      if (this.byte() < 0x80) return;
    }
    throw new Error(`wasm: a number is too long before byte ${this.at}`);
  }

  /** A vector's bytes, such as a name. */
  text(): string {
    const length = this.u32();
    const start = this.at;
    this.skip(length);
    return Buffer.from(this.bytes.subarray(start, this.at)).toString('utf8');
  }

  /** Moves over one instruction after its opcode has been read. Throws on an opcode that is not known or not metered. */
  skipImmediates(opcode: number): void {
    if (opcode >= 0x45 && opcode <= 0xc4) return; // comparisons, arithmetic, conversions, sign extension
    if (opcode >= 0x28 && opcode <= 0x3e) {
      this.u32(); // alignment
      this.u32(); // offset
      return;
    }
    switch (opcode) {
      case 0x00: // unreachable
      case 0x01: // nop
      case 0x05: // else
      case 0x0b: // end
      case 0x0f: // return
      case 0x1a: // drop
      case 0x1b: // select
        return;
      case 0x02: // block
      case 0x03: // loop
      case 0x04: // if
        this.skipSigned(33);
        return;
      case 0x0c: // br
      case 0x0d: // br_if
      case 0x10: // call
      case 0x20: // local.get
      case 0x21: // local.set
      case 0x22: // local.tee
      case 0x23: // global.get
      case 0x24: // global.set
        this.u32();
        return;
      case 0x0e: // br_table
        for (let labels = this.u32() + 1; labels > 0; labels--) this.u32(); // and the default label
        return;
      case 0x11: // call_indirect
        this.u32();
        this.u32();
        return;
      case 0x3f: // memory.size
      case 0x40: // memory.grow
        if (this.byte() !== 0) throw new Error('wasm: more than one memory');
        return;
      case 0x41:
        this.skipSigned(32);
        return;
      case 0x42:
        this.skipSigned(64);
        return;
      case 0x43:
        this.skip(4);
        return;
      case 0x44:
        this.skip(8);
        return;
      case 0xfc: {
        const operation = this.u32();
        if (operation <= 7) return; // saturating truncation
        // memory.copy, memory.fill and the table operations do work in proportion to an operand: one instruction could
        // cost as much as a million. The compiler emits none of them.
        throw new Error(`wasm: instruction 0xfc ${operation} cannot be metered`);
      }
      default:
        throw new Error(`wasm: unknown instruction 0x${opcode.toString(16)} before byte ${this.at}`);
    }
  }
}

/** `value` as an unsigned LEB128. */
export const unsignedLeb = (value: number): number[] => {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  bytes.push(rest);
  return bytes;
};
