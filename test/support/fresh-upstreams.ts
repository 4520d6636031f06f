import type { Upstream } from '../../gateway/upstream/upstream.ts';
import { openUpstreams } from '../../gateway/upstream/upstreams.ts';
import type { TestGateway, UpstreamSketch } from './gateway.ts';

/**
 * Gives a running gateway these upstreams and no others, as after a start: circuits closed, keys ready, retry budgets
 * whole. What one test did to an upstream is then no other test's matter.
 */
export const freshUpstreams = async (
  { running }: Pick<TestGateway, 'running'>,
  sketches: readonly UpstreamSketch[],
): Promise<void> => {
  const upstreams = running.gateway.upstreams as Map<string, Upstream>;
  const fresh = await openUpstreams(sketches);
  const old = [...upstreams.values()];
  upstreams.clear();
  for (const [name, upstream] of fresh) upstreams.set(name, upstream);
  await Promise.all(old.map((upstream) => upstream.close()));
};
