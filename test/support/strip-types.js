import { stripTypeScriptTypes } from 'node:module';

// Jest's transform: the same type stripping that runs the gateway, so line numbers are exact.
export const process = (source) => ({ code: stripTypeScriptTypes(source) });
