// mysql2: queries and prepared statements, pools, streams, several results, other commands.
'use strict';
const assert = require('node:assert/strict');
const { Readable } = require('node:stream');
const mysql = require('mysql2/promise');
const callbacks = require('mysql2');
const { CLIENTS, fails, mysql: login, newTable, run } = require('./checks.js');

// Its certificate names the address too.
const options = { ...login, ssl: { ...login.ssl, verifyIdentity: true } };

async function withClient(use, more = {}) {
  const client = await mysql.createConnection({ ...options, ...more });
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}

const one = async (client, how, ...query) => {
  const [rows] = await client[how](...query);
  assert.equal(rows.length, 1);
  const values = Object.values(rows[0]);
  return values.length === 1 ? values[0] : values;
};

async function queriesAreAnsweredAsTextAndPrepared() {
  await withClient(async (client) => {
    assert.match((await one(client, 'query', "show status like 'Ssl_version'"))[1], /^TLSv1/);
    for (const how of ['query', 'execute']) {
      assert.deepEqual(await one(client, how, 'select ? a, ? b, ? c, ? d', ["it's", '42', null, 'ü€😀']), ["it's", '42', null, 'ü€😀']);
      for (let turn = 0; turn < 30; turn++) {
        assert.deepEqual(await one(client, how, 'select cast(? as signed) a, ? b', [turn, null]), [turn, null]);
        assert.equal(Number(await one(client, how, `select ${turn} + ?`, [turn])), 2 * turn);
      }
      await fails('ER_NO_SUCH_TABLE', client[how]('select * from nowhere where id = ?', [1]));
    }
  }, { maxPreparedStatements: 8 });
}

async function valuesOfEveryTypeSurvive() {
  const table = newTable();
  await withClient(async (client) => {
    await client.query(`create table ${table} (id int primary key auto_increment, wide bigint, exact decimal(30, 10), rough double,
      word varchar(100), raw varbinary(300), moment datetime(3), day date, doc json, flag tinyint(1), bits bit(8))`);
    const row = ['-9223372036854775808', '-12345678901234567890.0123456789', 1.5e-300, 'naïve 😀\n\\\0', Buffer.from([...Array(256).keys()]),
      '2026-02-28 23:59:59.999', '1000-01-01', JSON.stringify({ a: [1, null] }), 1, Buffer.from([0xa5])];
    const names = 'wide, exact, rough, word, raw, moment, day, doc, flag, bits';
    const marks = row.map(() => '?').join(', ');
    for (const how of ['query', 'execute']) {
      const [inserted] = await client[how](`insert into ${table} (${names}) values (${marks})`, row);
      assert.equal(inserted.affectedRows, 1);
      await client[how](`insert into ${table} (${names}) values (${marks})`, row.map(() => null));
      const [rows] = await client[how](`select ${names} from ${table} where id >= ? order by id`, [inserted.insertId]);
      const got = Object.values(rows[0]);
      got[7] = JSON.stringify(typeof got[7] === 'string' ? JSON.parse(got[7]) : got[7]);
      assert.deepEqual(got, row);
      assert.deepEqual(Object.values(rows[1]), row.map(() => null));
    }
    await client.query(`drop table ${table}`);
  }, { supportBigNumbers: true, bigNumberStrings: true, dateStrings: true });
}

async function transactionsCommitAndRollBack() {
  const table = newTable();
  await withClient(async (client) => {
    await client.query(`create table ${table} (id int primary key)`);
    await client.beginTransaction();
    await client.execute(`insert into ${table} values (?)`, [1]);
    await client.commit();
    await client.beginTransaction();
    await client.execute(`insert into ${table} values (?)`, [2]);
    await fails('ER_DUP_ENTRY', client.execute(`insert into ${table} values (?)`, [1]));
    await client.rollback();
    assert.equal(await one(client, 'query', `select count(*) from ${table}`), 1);
    await client.query(`drop table ${table}`);
  });
}

async function severalStatementsAndResults() {
  const name = newTable();
  await withClient(async (client) => {
    const [results] = await client.query('select 1 a; do 1; select 2 b, 3 c');
    assert.deepEqual(results[0], [{ a: 1 }]);
    assert.deepEqual(results[2], [{ b: 2, c: 3 }]);
    await client.query(`create procedure ${name} (a int) begin select a; select a + 1 as b; end`);
    for (const how of ['query', 'execute']) {
      const [sets] = await client[how](`call ${name}(?)`, [7]);
      assert.deepEqual([sets[0], sets[1]], [[{ a: 7 }], [{ b: 8 }]]);
    }
    await client.query(`drop procedure ${name}`);
    await fails('ER_BAD_FIELD_ERROR', client.query('select 1; select nothing; select 3'));
    assert.equal(await one(client, 'query', 'select 4'), 4);
  }, { multipleStatements: true });
}

async function largeValuesSurvive() {
  const table = newTable();
  await withClient(async (client) => {
    await client.query(`create table ${table} (id int, content longblob)`);
    const content = Buffer.alloc(20_000_000, 'sluice');
    for (const how of ['query', 'execute']) {
      await client[how](`insert into ${table} values (1, ?)`, [content]);
      const [rows] = await client[how](`select content from ${table}`);
      assert.equal(Buffer.compare(rows[0].content, content), 0);
      await client.query(`delete from ${table}`);
    }
    await client.query(`drop table ${table}`);
  });
}

async function largeResultsStreamAndFilesAreLoaded() {
  const table = newTable();
  await withClient(async (client) => {
    await client.query(`create table ${table} (id int primary key, word varchar(50))`);
    const file = Readable.from((function* () {
      for (let n = 0; n < 40_000; n++) yield Buffer.from(`${n}\tword ${n}\n`);
    })());
    const [loaded] = await client.query({ sql: `load data local infile 'rows' into table ${table}`, infileStreamFactory: () => file });
    assert.equal(loaded.affectedRows, 40_000);
  });
  const client = callbacks.createConnection(options);
  let count = 0;
  for await (const row of client.query(`select id from ${table} order by id`).stream()) assert.equal(row.id, count++);
  assert.equal(count, 40_000);
  // A stream that is given up is read to its end by the driver.
  await client.promise().query(`drop table ${table}`);
  client.destroy();
}

async function otherCommands() {
  await withClient(async (client) => {
    await client.ping();
    await client.query('set @a = 1');
    await client.changeUser({ ...options, database: 'information_schema' });
    assert.deepEqual(await one(client, 'query', 'select @a, database()'), [null, 'information_schema']);
    const number = await one(client, 'query', 'select connection_id()');
    assert.equal(number, client.threadId ?? number);
    const statement = await client.prepare('select ? as a');
    const [rows] = await statement.execute(['x']);
    assert.deepEqual(rows, [{ a: 'x' }]);
    await statement.close();
  });
}

async function compressionIsTransparent() {
  await withClient(async (client) => {
    for (const length of [1, 100, 100_000, 3_000_000]) {
      assert.equal((await one(client, 'query', `select repeat('x', ${length})`)).length, length);
      assert.equal(await one(client, 'query', 'select length(?)', ['y'.repeat(length)]), length);
    }
  }, { compress: true });
}

async function poolsShareFewServerConnections() {
  const table = newTable();
  const pool = mysql.createPool({ ...options, connectionLimit: CLIENTS, timezone: 'Z' });
  await pool.query(`create table ${table} (id int primary key, n int)`);
  await pool.query(`insert into ${table} values (1, 0)`);
  await Promise.all([...Array(CLIENTS).keys()].map(async (client) => {
    for (let step = 0; step < 15; step++) {
      assert.deepEqual(await one(pool, 'execute', 'select cast(? as signed) a, cast(? as signed) b', [client, step]), [client, step]);
      const connection = await pool.getConnection();
      await connection.beginTransaction();
      await connection.execute(`update ${table} set n = n + ?`, [1]);
      await (step % 3 ? connection.commit() : connection.rollback());
      connection.release();
    }
  }));
  assert.equal(await one(pool, 'query', `select n from ${table}`), CLIENTS * 10);
  await pool.query(`drop table ${table}`);
  await pool.end();
}

async function aLostClientLeavesOthersAlone() {
  const clients = await Promise.all([...Array(6)].map(() => mysql.createConnection(options)));
  for (const client of clients) client.query('select sleep(30)').catch(() => {});
  await new Promise((done) => setTimeout(done, 300));
  for (const client of clients) client.destroy();
  await withClient(async (client) => assert.equal(await one(client, 'query', 'select 1'), 1));
}

run([
  queriesAreAnsweredAsTextAndPrepared,
  valuesOfEveryTypeSurvive,
  transactionsCommitAndRollBack,
  severalStatementsAndResults,
  largeValuesSurvive,
  largeResultsStreamAndFilesAreLoaded,
  otherCommands,
  compressionIsTransparent,
  poolsShareFewServerConnections,
  aLostClientLeavesOthersAlone,
]).catch((error) => {
  console.error(error);
  process.exit(1);
});
