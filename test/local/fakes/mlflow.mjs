#!/usr/bin/env node
// Stands in for `mlflow server`: a parent with a child that listens, as the real one.
import { spawn } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';

const args = process.argv.slice(2);
if (args[0] === 'child') {
  createServer((_request, response) => response.end('OK')).listen(Number(args[1]), '127.0.0.1');
} else {
  appendFileSync('starts', `${process.pid}\n`);
  const port = args[args.indexOf('--port') + 1];
  spawn(process.execPath, [fileURLToPath(import.meta.url), 'child', port], { stdio: 'inherit' });
}
