import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { announce, openPool, relay } from './relay.ts';

// Baseline: node:http to undici dispatch.
const pool = openPool();
const server = createServer((request, response) => relay(pool, request, response));
server.listen(0, '127.0.0.1', () => announce((server.address() as AddressInfo).port));
