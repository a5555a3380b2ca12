// The classic Lambda function for MySQL behind RDS Proxy, run by hand: @aws-sdk/rds-signer signs, mysql2 connects.
const fs = require('fs');
const { Signer } = require('@aws-sdk/rds-signer');
const mysql = require('mysql2/promise');

// What the function is configured with.
const endpoint = process.env.DB_ENDPOINT;
const host = process.env.DB_HOST || endpoint;
const port = Number(process.env.DB_PORT);
const user = process.env.DB_USER;

const signer = new Signer({
  hostname: endpoint,
  port: Number(process.env.DB_ENDPOINT_PORT || port),
  region: process.env.AWS_REGION,
  username: user,
});

async function handler(event) {
  const token = await signer.getAuthToken();
  const connection = await mysql.createConnection({
    host,
    port,
    user,
    password: token,
    database: process.env.DB_NAME,
    ssl: { ca: fs.readFileSync(process.env.DB_CA) },
    authPlugins: { mysql_clear_password: () => () => Buffer.from(`${token}\0`) },
  });
  const [rows] = await connection.execute("SELECT substring_index(user(), '@', 1) AS user, ? + 1 AS number", [event.number]);
  await connection.end();
  return { statusCode: 200, body: JSON.stringify(rows[0]) };
}

(async () => {
  for (let number = 0; number < 3; number++) {
    const answer = JSON.parse((await handler({ number })).body);
    if (answer.user !== user || Number(answer.number) !== number + 1) throw new Error(JSON.stringify(answer));
  }
  console.log('done');
})();
