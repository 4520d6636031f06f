import type { Telemetry } from '../../gateway/telemetry/telemetry.ts';
import { Trace } from '../../gateway/trace.ts';

/** Counts nothing: for a stage that is tested by itself. */
export const NO_TELEMETRY: Telemetry = {
  trace: () => new Trace(),
  finished: () => {},
  count: () => {},
  record: () => {},
  watch: () => {},
  prometheus: () => '',
  close: async () => {},
};
