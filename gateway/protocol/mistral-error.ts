import { GatewayError } from '../errors.ts';

/** The error of what a provider of kind `mistral` cannot be asked. */
export const notThere = (param: string): GatewayError =>
  new GatewayError('invalid_field', `Mistral, whose model was chosen, does not take this '${param}'.`, {
    param,
    hint: 'Leave it out, or ask for another model.',
  });
