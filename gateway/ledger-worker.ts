import { parentPort, workerData } from 'node:worker_threads';
import { readLogId } from './audit/log-id.ts';
import { readAudit } from './audit/read.ts';
import { type FollowerData, followLog } from './store/follow-log.ts';

// The entry of the ledger's worker thread. It is here because it joins two seams, the audit log and the store.

if (parentPort === null) throw new TypeError('the ledger worker runs in a worker thread');
await followLog(parentPort, workerData as FollowerData, { read: readAudit, logIdOf: readLogId });
