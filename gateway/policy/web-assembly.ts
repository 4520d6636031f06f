/**
 * The part of the WebAssembly API that the gateway uses. Node has it as a global; its types come with the DOM library
 * alone, which a server does not want.
 */
export type Module = object & { readonly __module?: never };
export type Exports = Readonly<Record<string, unknown>>;

/** A mutable i32 global. */
export interface Global {
  value: number;
}

export interface Memory {
  readonly buffer: ArrayBuffer;
  /** Adds pages. Throws RangeError beyond the maximum. */
  grow(pages: number): number;
}

/** In pages of 64 KB. */
export interface MemoryLimits {
  initial: number;
  maximum: number;
}

interface Api {
  compile(bytes: Uint8Array<ArrayBuffer>): Promise<Module>;
}

/** Compiles a module off the main thread. Rejects when it is not valid. */
export const compileModule = (bytes: Uint8Array<ArrayBuffer>): Promise<Module> =>
  (globalThis as unknown as { WebAssembly: Api }).WebAssembly.compile(bytes);
