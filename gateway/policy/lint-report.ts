/** Reports one finding at a place of the module under check. */
export type Report = (at: { row: number; col: number }, check: string, why: string, fix: string) => void;
