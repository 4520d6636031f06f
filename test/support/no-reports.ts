import type { PlatformPolicies } from '../../gateway/admin/platform-policies.ts';
import type { ReportSource } from '../../gateway/experiments/experiment-reports.ts';
import type { Explanations } from '../../gateway/explain/explanations.ts';
import type { UsageReports } from '../../gateway/store/usage-reports.ts';

/** Explanations of nothing, for a control plane that is asked for other things. */
export const NO_EXPLANATIONS: Explanations = {
  explain: () => Promise.reject(new Error('there are no explanations')),
  async close() {},
};

/** Reports of nothing, for a control plane that is asked for other things. */
export const NO_REPORTS: UsageReports = {
  page: () => Promise.reject(new Error('there are no reports')),
  async close() {},
};

/** Nothing known of experiments, for a control plane that is asked for other things. */
export const NO_EXPERIMENTS: ReportSource = {
  reader: { arms: () => Promise.reject(new Error('there are no readings')) },
  stops: { all: () => Promise.reject(new Error('there are no stops')) },
};

/** No policies, for a control plane that is asked for other things. */
export const NO_POLICIES: PlatformPolicies = {
  shown: () => {
    throw new Error('there are no policies');
  },
  store: {
    read: () => Promise.reject(new Error('there are no rollouts')),
    replicas: () => Promise.reject(new Error('there are no replicas')),
  },
  bundle: () => Promise.reject(new Error('there are no bundles')),
};
