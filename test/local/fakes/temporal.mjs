#!/usr/bin/env node
// Stands in for the Temporal CLI: enough of `server start-dev` and `operator namespace update` to be started and found healthy.
import { connect, createServer } from 'node:net';
import { appendFileSync } from 'node:fs';

const args = process.argv.slice(2);
const option = (name) => args[args.indexOf(name) + 1];

if (args[0] === '--version') {
  console.log(`temporal version ${process.env.FAKE_VERSION ?? '1.9.1'} (Server 1.32.0, UI 2.54.1)`);
} else if (args[0] === 'server') {
  appendFileSync('starts', `${process.pid}\n`);
  if (process.env.FAKE_DIES === '1') {
    console.error('unable to open the database: disk I/O error');
    process.exit(1);
  }
  for (const port of [option('--port'), option('--ui-port')]) {
    createServer((socket) => socket.end()).listen(Number(port), '127.0.0.1');
  }
} else {
  const [host, port] = option('--address').split(':');
  const socket = connect({ host, port: Number(port) });
  socket.once('connect', () => process.exit(0));
  socket.once('error', () => process.exit(1));
}
