import { GatewayError } from '../errors.ts';

/** The parameters of a query, each read by what it must be. */
export interface Query {
  /** A text that is not empty; undefined when it is not sent. */
  text(name: string): string | undefined;
  /** A whole number within bounds. */
  integer(name: string, least: number, most: number): number | undefined;
  oneOf<T extends string>(name: string, choices: readonly T[]): T | undefined;
}

const LONGEST_VALUE = 512;
/** No name has them, and Postgres takes no NUL. */
const CONTROL = /\p{Cc}/u;

/**
 * Reads a query with these parameters and no others, so that one with a typing error is not taken for all there is.
 * Throws GatewayError `invalid_field` with `param`, as do its readers.
 */
export const readQuery = (query: URLSearchParams, names: readonly string[]): Query => {
  for (const name of query.keys()) {
    if (!names.includes(name)) {
      throw bad(name.slice(0, 64), `There is no parameter ${name.slice(0, 64)}; there are ${names.join(', ')}.`);
    }
    if (query.getAll(name).length > 1) throw bad(name, `The parameter ${name} was sent twice.`);
  }
  const text = (name: string): string | undefined => {
    const value = query.get(name);
    if (value === null) return undefined;
    if (value === '' || value.length > LONGEST_VALUE) throw bad(name, `${name} has 1 to ${LONGEST_VALUE} characters.`);
    if (CONTROL.test(value)) throw bad(name, `${name} has control characters.`);
    return value;
  };
  return {
    text,
    integer(name, least, most) {
      const value = text(name);
      if (value === undefined) return undefined;
      const number = Number(value);
      if (!/^\d{1,15}$/.test(value) || number < least || number > most) {
        throw bad(name, `${name} is a whole number from ${least} to ${most}.`);
      }
      return number;
    },
    oneOf(name, choices) {
      const value = text(name);
      const choice = choices.find((known) => known === value);
      if (value !== undefined && choice === undefined) throw bad(name, `${name} is one of ${choices.join(', ')}.`);
      return choice;
    },
  };
};

const bad = (param: string, message: string): GatewayError => new GatewayError('invalid_field', message, { param });
