import { notThere } from './mistral-error.ts';
import type { Call, Edits, Splice } from './protocol.ts';
import { removeTools } from './remove-tools.ts';
import { renameMember } from './rename-member.ts';
import { setMember } from './set-member.ts';

/** The splices that carry out `edits` on an embeddings body: there is no cap to set and no tool to remove. */
export const editOpenaiEmbeddings = (call: Call, { model, kind }: Edits): Splice[] => {
  const splices = model === undefined ? [] : [setMember(call, 'model', JSON.stringify(model))];
  return kind === 'mistral' ? [...splices, ...mistralSplices(call)] : splices;
};

/** Mistral's EmbeddingRequest (@mistralai/mistralai 2.7) has no `user`, another name for the dimensions, and no ids. */
const mistralSplices = (call: Call): Splice[] => {
  const { scan, body } = call;
  if (call.tokenIds !== undefined) throw notThere('input');
  const gone = ['user'];
  const splices: Splice[] = [];
  const dimensions = scan.members.get('dimensions');
  if (dimensions && body.dimensions !== null) {
    if (scan.members.has('output_dimension')) throw notThere('dimensions');
    splices.push(renameMember(scan, dimensions, 'output_dimension'));
  } else gone.push('dimensions');
  return [...splices, ...removeTools(call, [], new Set(), gone)];
};
