// Runs the checks of a driver program, one after another, each named on standard output.
'use strict';
const fs = require('node:fs');

// More clients at once than the proxy has server connections.
exports.CLIENTS = 24;

exports.tls = { ca: fs.readFileSync(process.env.PGSSLROOTCERT ?? process.env.DB_CA, 'utf8') };

// How drivers of MySQL log in, where they agree.
exports.mysql = {
  host: process.env.DB_HOST,
  port: Number(process.env.DB_PORT),
  user: process.env.DB_USER,
  password: process.env.DB_PASSWORD,
  database: process.env.DB_NAME,
  ssl: exports.tls,
};

let tables = 0;
// A table name nobody else has in this database.
exports.newTable = () => `t${process.pid}_${tables++}`;

// Awaits what has to fail with this SQLSTATE, or name or number of the error.
exports.fails = async (code, promise) => {
  let error;
  try {
    await promise;
  } catch (caught) {
    error = caught;
  }
  if (!error) throw new Error(`${code} was not raised`);
  if (error.code !== code && error.errno !== code) throw error;
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
