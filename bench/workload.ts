/** One kind of request of the benchmark. */
export interface Workload {
  readonly name: string;
  readonly body: string;
  readonly stream: boolean;
  /** Connections of the throughput run. */
  readonly connections: number;
  /** Most requests a connection and run: what bounds the disk an audit log takes. */
  readonly requestsMax: number;
}

/** Content events of a streamed answer, and those around them (role, finish, usage, end). */
export const STREAM_CHUNKS = 200;

/** A question of the given size without personal data: what a gateway's scanners see most of the time. */
const promptOf = (bytes: number): string => {
  const question = 'Explain how a binary search works, and when it should not be used. ';
  const prose =
    'The course compares ways to look things up. A list is read from one end to the other; a sorted array is halved ' +
    'with every step; a table of hashes is asked once. Each has a price in memory, in time and in what it asks of the ' +
    'data, and the students are to weigh them for chapter 7, exercise 12. ';
  return (question + prose.repeat(Math.ceil(bytes / prose.length))).slice(0, bytes);
};

const bodyOf = (promptBytes: number, stream: boolean): string =>
  JSON.stringify({
    ...(stream ? { stream: true } : {}),
    model: 'auto',
    messages: [
      { role: 'system', content: 'You are a tutor.' },
      { role: 'user', content: promptOf(promptBytes) },
    ],
    max_tokens: 2048,
  });

export const WORKLOADS: readonly Workload[] = [
  { name: '300 B', body: bodyOf(300, false), stream: false, connections: 32, requestsMax: 4000 },
  { name: '8 KB', body: bodyOf(8_000, false), stream: false, connections: 32, requestsMax: 2000 },
  { name: '100 KB', body: bodyOf(100_000, false), stream: false, connections: 32, requestsMax: 60 },
  { name: `stream of ${STREAM_CHUNKS}`, body: bodyOf(300, true), stream: true, connections: 16, requestsMax: 1000 },
];
