// MariaDB's connector for Node.js: pipelined queries, prepared statements, batches, streams, pools.
'use strict';
const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const mariadb = require('mariadb');
const { CLIENTS, fails, mysql: options, newTable, run } = require('./checks.js');

async function withClient(use, more = {}) {
  const client = await mariadb.createConnection({ ...options, ...more });
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}

const one = async (client, how, ...query) => {
  const rows = await client[how](...query);
  assert.equal(rows.length, 1);
  const values = Object.values(rows[0]);
  return values.length === 1 ? values[0] : values;
};

async function queriesAreAnsweredAsTextAndPrepared() {
  await withClient(async (client) => {
    assert.match((await one(client, 'query', "show status like 'Ssl_version'"))[1], /^TLSv1/);
    for (const how of ['query', 'execute']) {
      assert.deepEqual(await one(client, how, 'select ? a, ? b, ? c', ["it's", null, 'ü€😀']), ["it's", null, 'ü€😀']);
      for (let turn = 0; turn < 30; turn++) assert.equal(Number(await one(client, how, `select ${turn} + ?`, [turn])), 2 * turn);
      await fails(1146, client[how]('select * from nowhere where id = ?', [1]));
    }
  });
}

// The driver sends the next command before the answer to the last has come.
async function pipelinedQueriesAnswerInOrder() {
  const table = newTable();
  await withClient(async (client) => {
    await client.query(`create table ${table} (id int primary key)`);
    const asked = [...Array(50).keys()].map((n) => one(client, 'query', `select ${n}`).then(Number));
    assert.deepEqual(await Promise.all(asked), [...Array(50).keys()]);
    const outcomes = await Promise.allSettled([
      client.beginTransaction(),
      client.query(`insert into ${table} values (1)`),
      client.query(`insert into ${table} values (1)`),
      client.query(`insert into ${table} values (2)`),
      client.commit(),
      client.query('set @a = 5'),
      one(client, 'query', 'select @a'),
      one(client, 'execute', `select count(*) from ${table} where id > ?`, [0]),
    ]);
    assert.deepEqual(outcomes.map((outcome) => outcome.status === 'fulfilled'), [true, true, false, true, true, true, true, true]);
    assert.equal(outcomes[2].reason.errno, 1062);
    assert.equal(Number(outcomes[6].value), 5);
    assert.equal(Number(outcomes[7].value), 2);
    await client.query(`drop table ${table}`);
  }, { pipelining: true });
}

async function batchesAreInserted() {
  const table = newTable();
  await withClient(async (client) => {
    await client.query(`create table ${table} (id int primary key, word varchar(50), raw varbinary(20))`);
    const rows = [...Array(3000).keys()].map((n) => [n, n % 5 ? `wörd ${n}` : null, Buffer.from([n % 256])]);
    await client.batch(`insert into ${table} values (?, ?, ?)`, rows);
    assert.deepEqual((await one(client, 'query', `select count(*), count(word), max(word) from ${table}`)).map(String), ['3000', '2400', 'wörd 999']);
    await fails(1062, client.batch(`insert into ${table} values (?, ?, ?)`, [[5000, 'a', null], [1, 'b', null]]));
    await client.query(`drop table ${table}`);
  });
}

async function transactionsCommitAndRollBack() {
  const table = newTable();
  await withClient(async (client) => {
    await client.query(`create table ${table} (id int primary key auto_increment, n int)`);
    await client.beginTransaction();
    const inserted = await client.query(`insert into ${table} (n) values (?)`, [1]);
    assert.equal(Number(inserted.insertId), 1);
    await client.rollback();
    await client.beginTransaction();
    await client.execute(`insert into ${table} (n) values (?)`, [2]);
    await client.commit();
    assert.equal(await one(client, 'query', `select n from ${table}`), 2);
    const warned = await client.query("select cast('12abc' as signed)");
    assert.equal(warned.meta.length, 1);
    assert.equal((await client.query('show warnings')).length, 1);
    await client.query(`drop table ${table}`);
  });
}

async function severalStatementsAndResults() {
  const name = newTable();
  await withClient(async (client) => {
    const results = await client.query('select 1 a; do 1; select 2 b');
    assert.deepEqual([Number(results[0][0].a), Number(results[2][0].b)], [1, 2]);
    await client.query(`create procedure ${name} (a int) begin select a; select a + 1 as b; end`);
    for (const how of ['query', 'execute']) {
      const sets = await client[how](`call ${name}(?)`, [7]);
      assert.deepEqual([Number(sets[0][0].a), Number(sets[1][0].b)], [7, 8]);
    }
    await client.query(`drop procedure ${name}`);
  }, { multipleStatements: true });
}

async function largeValuesStreamsAndFiles() {
  const table = newTable();
  await withClient(async (client) => {
    await client.query(`create table ${table} (id int, content longblob)`);
    const content = Buffer.alloc(20_000_000, 'sluice');
    for (const how of ['query', 'execute']) {
      await client[how](`insert into ${table} values (1, ?)`, [content]);
      const rows = await client[how](`select content from ${table}`);
      assert.equal(Buffer.compare(rows[0].content, content), 0);
      await client.query(`delete from ${table}`);
    }
    const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'rows-')), 'rows.tsv');
    fs.writeFileSync(file, [...Array(30_000).keys()].map((n) => `${n}\tword ${n}\n`).join(''));
    const loaded = await client.query(`load data local infile '${file}' into table ${table}`);
    assert.equal(loaded.affectedRows, 30_000);
    fs.rmSync(path.dirname(file), { recursive: true });
    let count = 0;
    for await (const row of client.queryStream(`select id from ${table} order by id`)) assert.equal(row.id, count++);
    assert.equal(count, 30_000);
    await client.query(`drop table ${table}`);
  }, { permitLocalInfile: true });
}

async function otherCommands() {
  await withClient(async (client) => {
    await client.ping();
    await client.query('set @a = 1');
    // Which the driver refuses to do on MySQL.
    if (process.env.DB_KIND === 'mariadb') {
      await client.changeUser({ user: options.user, password: options.password, database: 'information_schema' });
      assert.deepEqual(await one(client, 'query', 'select @a, database()'), [null, 'information_schema']);
    }
    await client.query('set @a = 2');
    await client.reset();
    assert.equal(await one(client, 'query', 'select @a'), null);
    const statement = await client.prepare('select ? as a');
    assert.equal((await statement.execute(['x']))[0].a, 'x');
    statement.close();
    assert.equal(Number(await one(client, 'query', 'select connection_id()')), client.threadId);
  });
}

async function compressionIsTransparent() {
  await withClient(async (client) => {
    for (const length of [1, 100, 100_000, 3_000_000]) {
      assert.equal((await one(client, 'query', `select repeat('x', ${length})`)).length, length);
      assert.equal(Number(await one(client, 'query', 'select length(?)', ['y'.repeat(length)])), length);
    }
  }, { compress: true });
}

async function poolsShareFewServerConnections() {
  const table = newTable();
  const pool = mariadb.createPool({ ...options, connectionLimit: CLIENTS, minimumIdle: 1 });
  await pool.query(`create table ${table} (id int primary key, n int)`);
  await pool.query(`insert into ${table} values (1, 0)`);
  await Promise.all([...Array(CLIENTS).keys()].map(async (client) => {
    for (let step = 0; step < 15; step++) {
      assert.deepEqual((await one(pool, 'execute', 'select ? a, ? b', [client, step])).map(Number), [client, step]);
      const connection = await pool.getConnection();
      await connection.beginTransaction();
      await connection.query(`update ${table} set n = n + 1`);
      await (step % 3 ? connection.commit() : connection.rollback());
      await connection.release();
    }
  }));
  assert.equal(await one(pool, 'query', `select n from ${table}`), CLIENTS * 10);
  await pool.query(`drop table ${table}`);
  await pool.end();
}

run([
  queriesAreAnsweredAsTextAndPrepared,
  pipelinedQueriesAnswerInOrder,
  batchesAreInserted,
  transactionsCommitAndRollBack,
  severalStatementsAndResults,
  largeValuesStreamsAndFiles,
  otherCommands,
  compressionIsTransparent,
  poolsShareFewServerConnections,
]).catch((error) => {
  console.error(error);
  process.exit(1);
});
