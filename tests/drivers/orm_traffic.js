// node-postgres with `options` at startup, as many clients at once as CLIENTS; waits at the end until the caller,
// who looks at the proxy's metrics, writes a line.
'use strict';
const assert = require('node:assert/strict');
const { Client } = require('pg');
const { CLIENTS, tls } = require('./checks.js');

async function main() {
  const clients = Array.from({ length: CLIENTS }, (_, n) => new Client({
    ssl: tls,
    options: `-c search_path=tenant_${n % 4} -c statement_timeout=${61001 + n}`,
    application_name: `node ${n}`,
  }));
  await Promise.all(clients.map((client) => client.connect()));
  for (let request = 0; request < 8; request++) {
    await Promise.all(clients.map(async (client, n) => {
      const named = await client.query({ name: 'who', text: 'select name from tenant where $1::int > 0', values: [1] });
      assert.equal(named.rows[0].name, `tenant ${n % 4}`);
      const shown = await client.query('show statement_timeout');
      assert.equal(shown.rows[0].statement_timeout, `${61001 + n}ms`);
    }));
  }
  console.log('done');
  await new Promise((resolve) => process.stdin.once('data', resolve));
  await Promise.all(clients.map((client) => client.end()));
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
