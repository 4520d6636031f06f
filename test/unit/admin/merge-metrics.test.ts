import { describe, expect, test } from '@jest/globals';
import { mergeMetrics } from '../../../gateway/admin/merge-metrics.ts';

const text = (requests: number): string => `# HELP requests_total Requests.
# TYPE requests_total counter
requests_total{endpoint="messages",said="a, \\"b\\" {c}"} ${requests}
requests_total{endpoint="models"} 1 1700000000000
# HELP wait_seconds Waiting.
# TYPE wait_seconds histogram
wait_seconds_bucket{le="+Inf"} 2
wait_seconds_sum 0.5
wait_seconds_count 2
`;

describe('the metrics of several workers', () => {
  test('stand together by family, each sample with its worker', () => {
    expect(
      mergeMetrics([
        { worker: 0, text: text(3) },
        { worker: 1, text: text(4) },
      ]),
    ).toBe(`# HELP requests_total Requests.
# TYPE requests_total counter
requests_total{endpoint="messages",said="a, \\"b\\" {c}",worker="0"} 3
requests_total{endpoint="models",worker="0"} 1 1700000000000
requests_total{endpoint="messages",said="a, \\"b\\" {c}",worker="1"} 4
requests_total{endpoint="models",worker="1"} 1 1700000000000
# HELP wait_seconds Waiting.
# TYPE wait_seconds histogram
wait_seconds_bucket{le="+Inf",worker="0"} 2
wait_seconds_sum{worker="0"} 0.5
wait_seconds_count{worker="0"} 2
wait_seconds_bucket{le="+Inf",worker="1"} 2
wait_seconds_sum{worker="1"} 0.5
wait_seconds_count{worker="1"} 2
`);
  });

  test('are nothing where no worker answers', () => {
    expect(mergeMetrics([])).toBe('');
  });
});
