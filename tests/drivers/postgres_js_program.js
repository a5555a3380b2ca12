// postgres.js: pipelined named statements, dynamic types, cursors, COPY streams, LISTEN, cancellation.
'use strict';
const assert = require('node:assert/strict');
const { Readable } = require('node:stream');
const { pipeline } = require('node:stream/promises');
const postgres = require('postgres');
const { CLIENTS, fails, newTable, run, tls } = require('./checks.js');

const connect = (options = {}) => postgres({
  host: process.env.PGHOST, port: Number(process.env.PGPORT), ssl: tls, max: 1, onnotice: () => {}, ...options,
});

async function withSql(use, options) {
  const sql = connect(options);
  try {
    return await use(sql);
  } finally {
    await sql.end();
  }
}

async function queriesAndTypes() {
  await withSql(async (sql) => {
    const [row] = await sql`select ${"it's"}::text a, ${42}::int b, ${null}::text c, ${[1, 2]}::int[] d, ${sql.json({ a: [1, null] })}::jsonb e`;
    assert.deepEqual({ ...row }, { a: "it's", b: 42, c: null, d: [1, 2], e: { a: [1, null] } });
    const simple = await sql`select 1 as x; select 2 as x`.simple();
    assert.deepEqual(simple.map((result) => result[0].x), [1, 2]);
    const { columns } = await sql`select 1 as one, 'x' as two`.describe();
    assert.deepEqual(columns.map((column) => column.name), ['one', 'two']);
    const unprepared = await sql.unsafe('select $1::int as x', [5], { prepare: false });
    assert.equal(unprepared[0].x, 5);
  });
}

async function statementsAreFoundAgain() {
  await withSql(async (sql) => {
    for (let turn = 0; turn < 4; turn++) {
      for (let number = 0; number < 20; number++) {
        const [row] = await sql.unsafe(`select $1::int + ${number} as x`, [turn], { prepare: true });
        assert.equal(row.x, turn + number);
      }
    }
  });
}

async function queriesArePipelined() {
  await withSql(async (sql) => {
    const rows = await Promise.all(Array.from({ length: 300 }, (_, n) => sql`select ${n}::int as n`));
    assert.deepEqual(rows.map(([row]) => row.n), Array.from({ length: 300 }, (_, n) => n));
    const mixed = await Promise.allSettled(Array.from({ length: 60 }, (_, n) => sql`select 10 / ${n % 3}::int as n`));
    mixed.forEach((result, n) => assert.equal(result.status, n % 3 ? 'fulfilled' : 'rejected'));
  });
}

async function transactionsCommitAndRollBack() {
  const table = newTable();
  await withSql(async (sql) => {
    await sql`create table ${sql(table)} (id int primary key, word text)`;
    await sql.begin(async (tx) => {
      await tx`insert into ${tx(table)} ${tx([{ id: 1, word: 'a' }, { id: 2, word: 'b' }])}`;
      await fails('23505', tx.savepoint((point) => point`insert into ${point(table)} values (1, 'again')`));
      await tx`update ${tx(table)} set word = 'c' where id = 2`;
    });
    await fails('23505', sql.begin((tx) => [tx`insert into ${tx(table)} values (3, 'x')`, tx`insert into ${tx(table)} values (1, 'y')`]));
    const rows = await sql`select * from ${sql(table)} order by id`;
    assert.deepEqual(rows.map((row) => `${row.id}${row.word}`), ['1a', '2c']);
  });
}

async function errorsLeaveTheConnectionUsable() {
  await withSql(async (sql) => {
    for (let turn = 0; turn < 3; turn++) {
      await fails('42601', sql`selec ${turn}`);
      await fails('42P01', sql`select * from nowhere`);
      await fails('22012', sql`select 1 / ${0}::int`);
      assert.equal((await sql`select ${turn}::int as x`)[0].x, turn);
    }
  });
}

async function cursorsFetchInParts() {
  await withSql(async (sql) => {
    let seen = 0;
    for await (const rows of sql`select * from generate_series(1, 500) as n`.cursor(33)) seen += rows.length;
    assert.equal(seen, 500);
    let given = 0;
    await sql`select * from generate_series(1, 5000) as n`.cursor(10, (rows) => {
      given += rows.length;
      return given >= 50 ? sql.CLOSE : undefined;
    });
    assert.equal(given, 50);
    await sql`select * from generate_series(1, 100) as n`.forEach((row) => { seen += row.n; });
    assert.equal(seen, 500 + 5050);
  });
}

async function copyGoesInAndOut() {
  const table = newTable();
  await withSql(async (sql) => {
    await sql`create table ${sql(table)} (id int primary key, word text)`;
    const lines = (first, count) => Readable.from((function* () {
      for (let n = first; n < first + count; n++) yield `${n}\tword ${n}\n`;
    })());
    await pipeline(lines(0, 20000), await sql`copy ${sql(table)} from stdin`.writable());
    let text = '';
    for await (const chunk of await sql`copy ${sql(table)} to stdout`.readable()) text += chunk;
    assert.equal(text.split('\n').length, 20001);
    const [row] = await sql`select count(*)::int from ${sql(table)}`;
    assert.equal(row.count, 20000);
  });
}

async function notificationsArrive() {
  await withSql(async (sql) => {
    const heard = new Promise((resolve) => sql.listen('chime_js', resolve).then(() => sql.notify('chime_js', 'ring')));
    assert.equal(await heard, 'ring');
  }, { max: 2 });
}

async function aRunningQueryCanBeCancelled() {
  await withSql((sql) => withSql(async (other) => {
    const sleeping = sql`select pg_sleep(65)`.execute();
    const running = () => other`select count(*)::int from pg_stat_activity where state = 'active' and query like 'select pg_sleep(65%'`;
    while ((await running())[0].count === 0);
    sleeping.cancel();
    await fails('57014', sleeping);
    assert.equal((await sql`select 'alive' as word`)[0].word, 'alive');
  }));
}

async function largeValuesSurvive() {
  await withSql(async (sql) => {
    for (const size of [8191, 65536, 1_000_000, 10_000_000]) {
      const value = Buffer.alloc(size, size & 255);
      const [row] = await sql`select ${value}::bytea as x`;
      assert.ok(value.equals(row.x));
    }
  });
}

async function manyClientsShareFewServerConnections() {
  await withSql(async (sql) => {
    await Promise.all(Array.from({ length: CLIENTS * 4 }, async (_, number) => {
      for (let step = 0; step < 10; step++) {
        await sql.begin(async (tx) => {
          await tx`select set_config('sluice.test', ${`${number}`}, true)`;
          assert.equal((await tx`select current_setting('sluice.test') as x`)[0].x, `${number}`);
        });
        assert.equal((await sql`select ${number}::int as x`)[0].x, number);
      }
    }));
  }, { max: CLIENTS });
}

run([
  queriesAndTypes,
  statementsAreFoundAgain,
  queriesArePipelined,
  transactionsCommitAndRollBack,
  errorsLeaveTheConnectionUsable,
  cursorsFetchInParts,
  copyGoesInAndOut,
  notificationsArrive,
  aRunningQueryCanBeCancelled,
  largeValuesSurvive,
  manyClientsShareFewServerConnections,
]).catch((error) => {
  console.error(error);
  process.exit(1);
});
