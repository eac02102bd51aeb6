// Preloaded into a program that is measured: its CPU time in milliseconds, on the last line of stderr.
'use strict';
const { writeSync } = require('node:fs');
process.on('exit', () => {
  const { userCPUTime, systemCPUTime } = process.resourceUsage();
  writeSync(2, `\n${(userCPUTime + systemCPUTime) / 1000}`);
});
