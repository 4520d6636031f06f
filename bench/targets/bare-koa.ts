import type { AddressInfo } from 'node:net';
import Koa from 'koa';
import { announce, openPool, relay } from './relay.ts';

// Baseline: Koa to undici dispatch, written into ctx.res.
const pool = openPool();
const app = new Koa();
app.use((ctx) => {
  ctx.respond = false;
  relay(pool, ctx.req, ctx.res);
});
const server = app.listen(0, '127.0.0.1', () => announce((server.address() as AddressInfo).port));
