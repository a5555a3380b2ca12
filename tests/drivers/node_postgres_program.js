// node-postgres: simple and extended queries, named statements, cursors, COPY streams, pools.
'use strict';
const assert = require('node:assert/strict');
const { Readable } = require('node:stream');
const { pipeline } = require('node:stream/promises');
const { Client, Pool, Query } = require('pg');
const Cursor = require('pg-cursor');
const { from, to } = require('pg-copy-streams');
const { CLIENTS, fails, newTable, run, tls } = require('./checks.js');

async function withClient(use, options = {}) {
  const client = new Client({ ssl: tls, ...options });
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}

const one = async (client, ...query) => Object.values((await client.query(...query)).rows[0])[0];

async function simpleAndParameterisedQueries() {
  await withClient(async (client) => {
    assert.ok(client.connection.stream.encrypted);
    const { rows } = await client.query('select $1::text a, $2::int b, $3::text c', ["it's", 42, null]);
    assert.deepEqual(rows, [{ a: "it's", b: 42, c: null }]);
    const results = await client.query('select 1 as x; select 2 as x');
    assert.deepEqual(results.map((result) => result.rows[0].x), [1, 2]);
    assert.deepEqual(await one(client, 'select $1::int[]', [[1, 2, 3]]), [1, 2, 3]);
    assert.deepEqual(await one(client, 'select $1::jsonb', [{ a: [1, null] }]), { a: [1, null] });
    assert.equal((await client.query('')).rows.length, 0);
    const binary = await client.query({ text: 'select $1::bool as x, $2::int8 as y, $3::int[] as z', values: [true, 7, [1, 2]], binary: true });
    assert.deepEqual(binary.rows[0], { x: true, y: '7', z: [1, 2] });
    const bytes = Buffer.from([0, 92, 255]);
    assert.deepEqual(await one(client, 'select $1::bytea', [bytes]), bytes);
  });
}

async function namedStatementsAreFoundAgain() {
  await withClient(async (client) => {
    for (let turn = 0; turn < 4; turn++) {
      for (let number = 0; number < 20; number++) {
        const value = await one(client, { name: `plus ${number}`, text: `select $1::int + ${number}`, values: [turn] });
        assert.equal(value, turn + number);
      }
    }
  });
}

async function queriesQueueUp() {
  await withClient(async (client) => {
    const values = await Promise.all(Array.from({ length: 200 }, (_, n) => one(client, 'select $1::int', [n])));
    assert.deepEqual(values, Array.from({ length: 200 }, (_, n) => n));
  });
}

async function transactionsCommitAndRollBack() {
  const table = newTable();
  await withClient(async (client) => {
    await client.query(`create table ${table} (id int primary key)`);
    await client.query('begin');
    await client.query(`insert into ${table} values ($1)`, [1]);
    await client.query('commit');
    await client.query('begin');
    await client.query(`insert into ${table} values (2)`);
    await client.query('rollback');
    await client.query('begin');
    await client.query('savepoint here');
    await fails('23505', client.query(`insert into ${table} values ($1)`, [1]));
    await fails('25P02', client.query('select 1'));
    await client.query('rollback to here');
    await client.query(`insert into ${table} values (3)`);
    await client.query('commit');
    const { rows } = await client.query(`select id from ${table} order by id`);
    assert.deepEqual(rows, [{ id: 1 }, { id: 3 }]);
  });
}

async function errorsLeaveTheConnectionUsable() {
  await withClient(async (client) => {
    for (let turn = 0; turn < 3; turn++) {
      await fails('42601', client.query('selec 1'));
      await fails('42601', client.query({ name: `broken ${turn}`, text: 'selec $1', values: [1] }));
      await fails('22012', client.query({ name: 'division', text: 'select 1 / $1::int', values: [0] }));
      assert.equal(await one(client, 'select $1::int', [7]), 7);
    }
    const settled = await Promise.allSettled([
      client.query('select 1'), client.query('select 1/0'), client.query('select $1::int', ['x']), client.query('select 2'),
    ]);
    assert.deepEqual(settled.map((result) => result.status), ['fulfilled', 'rejected', 'rejected', 'fulfilled']);
  });
}

async function cursorsFetchInParts() {
  await withClient(async (client) => {
    await client.query('begin');
    const cursor = client.query(new Cursor('select * from generate_series(1, $1::int) as n', [250]));
    const seen = [];
    for (;;) {
      const rows = await cursor.read(40);
      if (rows.length === 0) break;
      seen.push(...rows.map((row) => row.n));
    }
    assert.deepEqual(seen, Array.from({ length: 250 }, (_, n) => n + 1));
    await client.query('commit');
    // Outside of a transaction, given up halfway.
    const half = client.query(new Cursor('select * from generate_series(1, 1000) as n'));
    assert.equal((await half.read(10)).length, 10);
    await half.close();
    assert.equal(await one(client, 'select 1'), 1);
  });
}

async function copyGoesInAndOut() {
  const table = newTable();
  await withClient(async (client) => {
    await client.query(`create table ${table} (id int primary key, word text)`);
    function* lines(first, count) {
      for (let n = first; n < first + count; n++) yield `${n}\tword ${n}\n`;
    }
    await pipeline(Readable.from(lines(0, 20000)), client.query(from(`copy ${table} from stdin`)));
    let received = 0;
    for await (const chunk of client.query(to(`copy ${table} to stdout`))) {
      received += chunk.toString().split('\n').length - 1;
    }
    assert.equal(received, 20000);
    await fails('23505', pipeline(Readable.from(lines(5, 60000)), client.query(from(`copy ${table} from stdin`))));
    assert.equal(await one(client, `select count(*)::int from ${table}`), 20000);
  });
}

async function noticesAndNotificationsArrive() {
  await withClient((client) => withClient(async (other) => {
    const notice = new Promise((resolve) => client.once('notice', resolve));
    await client.query("do $$ begin raise notice 'hear me'; end $$");
    assert.equal((await notice).message, 'hear me');
    const bell = new Promise((resolve) => client.once('notification', resolve));
    await client.query('listen gong');
    await other.query("select pg_notify('gong', $1)", ['boom']);
    assert.equal((await bell).payload, 'boom');
  }));
}

async function moreClientsListenThanThereAreServerConnections() {
  const listeners = Array.from({ length: CLIENTS }, () => new Client({ ssl: tls }));
  const heard = await Promise.all(listeners.map(async (client) => {
    const payloads = [];
    const all = new Promise((resolve) => client.on('notification', (note) => {
      if (payloads.push(note.payload) === 5) resolve(payloads);
    }));
    await client.connect();
    await client.query('listen gong');
    return () => all;
  }));
  for (let turn = 0; turn < 5; turn++) await listeners[turn].query(`notify gong, '${turn}'`);
  for (const all of heard) assert.deepEqual(await all(), ['0', '1', '2', '3', '4']);
  await Promise.all(listeners.map((client) => client.end()));
}

async function aRunningQueryCanBeCancelled() {
  await withClient((client) => withClient(async (other) => {
    const query = new Query('select pg_sleep(64)');
    const cancelled = fails('57014', new Promise((resolve, reject) => query.on('error', reject).on('end', resolve)));
    client.query(query);
    const running = "select count(*)::int from pg_stat_activity where state = 'active' and query like 'select pg_sleep(64%'";
    while (await one(other, running) === 0);
    // The driver's own way, which is without TLS.
    const canceller = new Client({ ssl: false });
    canceller.on('error', () => {});
    canceller.cancel(client, query);
    await cancelled;
    assert.equal(await one(client, "select 'alive'"), 'alive');
  }));
}

async function largeValuesSurvive() {
  await withClient(async (client) => {
    for (const size of [8191, 65536, 1_000_000, 10_000_000]) {
      const value = 'n'.repeat(size);
      assert.equal(await one(client, 'select $1::text', [value]), value);
    }
  });
}

async function aPoolSharesFewServerConnections() {
  const pool = new Pool({ ssl: tls, max: CLIENTS });
  await Promise.all(Array.from({ length: CLIENTS }, async (_, number) => {
    for (let step = 0; step < 25; step++) {
      const client = await pool.connect();
      try {
        await client.query('begin');
        await client.query("select set_config('sluice.test', $1, true)", [`${number}`]);
        assert.equal(await one(client, { name: 'mine', text: "select current_setting('sluice.test')" }), `${number}`);
        await client.query(step % 2 ? 'commit' : 'rollback');
      } finally {
        client.release();
      }
      assert.equal(await one(pool, 'select $1::int', [step]), step);
    }
  }));
  await pool.end();
}

async function startupOptionsTakeEffect() {
  await withClient(async (client) => {
    assert.equal(await one(client, 'show statement_timeout'), '12345ms');
    assert.equal(await one(client, 'show application_name'), 'named by me');
  }, { statement_timeout: 12345, application_name: 'named by me' });
}

run([
  simpleAndParameterisedQueries,
  namedStatementsAreFoundAgain,
  queriesQueueUp,
  transactionsCommitAndRollBack,
  errorsLeaveTheConnectionUsable,
  cursorsFetchInParts,
  copyGoesInAndOut,
  noticesAndNotificationsArrive,
  moreClientsListenThanThereAreServerConnections,
  aRunningQueryCanBeCancelled,
  largeValuesSurvive,
  aPoolSharesFewServerConnections,
  startupOptionsTakeEffect,
]).catch((error) => {
  console.error(error);
  process.exit(1);
});
