import { GatewayError } from '../../errors.ts';
import type { Json } from '../fields.ts';

/** What a model that speaks chat completions cannot be told, as an error at `param`. */
export const unsaid = (param: string, what: string, hint?: string): GatewayError =>
  new GatewayError('invalid_field', `${what} cannot be said to a model that speaks chat completions.`, {
    param,
    ...(hint === undefined ? {} : { hint }),
  });

/** Refuses a member that is not in `known`. Null stands for absent. `param` is empty for the body itself. */
export const onlyMembers = (holder: Json, known: ReadonlySet<string>, param: string): void => {
  for (const key in holder) {
    if (known.has(key) || holder[key] === null || holder[key] === undefined) continue;
    const at = param === '' ? key : `${param}.${key}`;
    throw unsaid(at, `'${at}'`);
  }
};

/** Refuses a member that has another value than those that mean nothing here. Null stands for absent. */
export const onlyValues = (holder: Json, key: string, values: readonly unknown[], param: string): void => {
  const value = holder[key] ?? null;
  if (value === null || values.includes(value)) return;
  const at = param === '' ? key : `${param}.${key}`;
  throw unsaid(at, `'${at}': ${JSON.stringify(value)?.slice(0, 80)}`);
};
