import type { UsageReports } from '../../gateway/store/usage-reports.ts';

/** Reports of nothing, for a control plane that is asked for other things. */
export const NO_REPORTS: UsageReports = {
  page: () => Promise.reject(new Error('there are no reports')),
  async close() {},
};
