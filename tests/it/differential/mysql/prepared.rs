//! Texts that clients prepare.

use super::sql;
use crate::{differential::random::Random, support::mysql::Kind};

const TEXTS: [&str; 28] = [
    "select ?",
    "select ?",
    "select ? + 1, ?",
    "select concat(?, '!')",
    "select id, name from shared where id > ? order by id",
    "select id, name from shared order by id",
    "select id, name from shared where id < ? and name <> ? order by id",
    "select * from item_{c} order by id",
    "insert into item_{c} (name) values (?)",
    "insert into item_{c} (name, n) values (?, ?)",
    "update item_{c} set n = ? where id = ?",
    "delete from item_{c} where id = ?",
    "select 'a\\'b', \"x\"",
    "select @@sql_mode, @@time_zone, database()",
    "select @a is null, @b is null",
    "set @a = ?",
    "select ? into @b",
    "call p_two()",
    "call p_out(?)",
    "call p_set(?)",
    "select last_insert_id()",
    "select found_rows()",
    "set time_zone = '+05:00'",
    "set autocommit = 0",
    "begin",
    "commit",
    "do 1",
    "select sleep(0), version() is not null",
];

/// One of them, or a statement like those that are not prepared.
pub fn text(random: &mut Random, client: usize, kind: Kind) -> String {
    if random.percent(25) {
        let text = sql::statement(random, client, kind);
        // What Sluice answers itself where it is not prepared.
        let asks = ["connection_id", "row_count", "kill"];
        let lower = text.to_ascii_lowercase();
        // Their types are those of when it was prepared on the connection at hand.
        let typed = lower.starts_with("select @") && !lower.starts_with("select @@");
        // MariaDB goes back to the schema of the session behind it, if that is another than it was prepared in, and a
        // schema once chosen cannot be left for none.
        let used = kind == Kind::MariaDb && lower.starts_with("use ");
        if !typed && !used && !asks.iter().any(|word| lower.contains(word)) {
            return text;
        }
    }
    let text = random.pick(&TEXTS);
    text.replace("{c}", &client.to_string())
}
