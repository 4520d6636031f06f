import { parentPort, workerData } from 'node:worker_threads';
import { readBundle } from '../policy/bundle.ts';
import { createPolicy, type MeteredPolicy } from '../policy/engine.ts';
import { createPriceTable } from '../prices.ts';
import { withPrices } from './price-list.ts';
import { Replayer, type Side } from './replayer.ts';
import type { FromWorker, Round, ToWorker, WorkerStart } from './worker-messages.ts';

// A thread that decides its share of the records. It owns an instance of each bundle.

const start = workerData as WorkerStart;
const port = parentPort!;
const tell = (message: FromWorker, handed: ArrayBuffer[] = []): void => port.postMessage(message, handed);

const load = async (packed: Uint8Array): Promise<MeteredPolicy> => createPolicy(await readBundle(packed));

const sideOf = (policy: MeteredPolicy, prices: WorkerStart['prices'] = {}): Side => {
  const data = withPrices(policy.data, new Map(Object.entries(prices)));
  return { policy, data, prices: createPriceTable(data, policy.ref.revision) };
};

const serving = await load(start.before);
const before = sideOf(serving);
const after = sideOf(start.isSamePolicy ? serving : await load(start.after), start.prices);
const replayer = new Replayer({ ...start, before, after });

const play = ({ bytes, lengths, indexes, clockMs, firstIndex, round }: Round): void => {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  replayer.expire(clockMs, firstIndex);
  let at = 0;
  for (let record = 0; record < lengths.length; record++) {
    const end = at + lengths[record]!;
    replayer.add(text.toString('utf8', at, end), indexes[record]!);
    at = end;
  }
  const batch = replayer.takeRows();
  tell({ round, ...batch }, [batch.rows.buffer]);
};

port.on('message', (message: ToWorker) => {
  if (message !== 'finish') return play(message);
  const { user, system } = process.threadCpuUsage();
  tell({ tally: replayer.finish(), cpuUs: user + system });
  port.close();
});
tell({ ready: true });
