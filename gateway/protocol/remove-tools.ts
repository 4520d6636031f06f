import { elementRanges, memberRanges, removals } from './json-ranges.ts';
import type { Call, Splice } from './protocol.ts';

/** A field that offers tools. */
export interface ToolList {
  readonly field: string;
  /** The name by which an entry can be removed; `param` names the field in an error. */
  readonly nameOf: (entry: unknown, param: string) => string;
  /** Fields that make no sense once the list is empty. */
  readonly dependents: readonly string[];
}

/**
 * The splices that take the tools named in `removed` out of `lists`, an emptied list with its dependents, and the
 * top-level fields in `gone`, which name what is removed.
 */
export const removeTools = (
  call: Call,
  lists: readonly ToolList[],
  removed: ReadonlySet<string>,
  gone: readonly string[],
): Splice[] => {
  const { raw, scan, body } = call;
  const splices: Splice[] = [];
  const fields = new Set(gone);
  for (const { field, nameOf, dependents } of lists) {
    const member = scan.members.get(field);
    const list = body[field];
    if (!member || !Array.isArray(list)) continue;
    const isRemoved = (index: number): boolean => removed.has(nameOf(list[index], field));
    const left = list.filter((_, index) => !isRemoved(index)).length;
    if (left === list.length) continue;
    if (left > 0) splices.push(...removals(elementRanges(raw, scan, member), isRemoved));
    else for (const name of [field, ...dependents]) fields.add(name);
  }
  const names = [...scan.members.keys()];
  splices.push(...removals(memberRanges(scan.members), (index) => fields.has(names[index]!)));
  return splices;
};
