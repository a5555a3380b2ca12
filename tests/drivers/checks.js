// Runs the checks of a driver program, one after another, each named on standard output.
'use strict';
const fs = require('node:fs');

// More clients at once than the proxy has server connections.
exports.CLIENTS = 24;

exports.tls = { ca: fs.readFileSync(process.env.PGSSLROOTCERT, 'utf8') };

let tables = 0;
// A table name nobody else has in this database.
exports.newTable = () => `t${process.pid}_${tables++}`;

// Awaits what has to fail with this SQLSTATE.
exports.fails = async (code, promise) => {
  let error;
  try {
    await promise;
  } catch (caught) {
    error = caught;
  }
  if (!error) throw new Error(`${code} was not raised`);
  if (error.code !== code) throw error;
  return error;
};

exports.run = async (checks) => {
  // A program that hangs says where before its caller gives up on it.
  const watchdog = setTimeout(() => {
    console.error('\ngave up');
    process.exit(1);
  }, 150000);
  for (const check of checks) {
    process.stdout.write(`${check.name} `);
    const began = Date.now();
    await check();
    console.log(`${Date.now() - began}ms`);
  }
  clearTimeout(watchdog);
};
