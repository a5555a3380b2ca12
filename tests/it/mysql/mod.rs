//! Behaviours of the MySQL side, each shown with MySQL and with MariaDB.

/// Makes two tests of each function that takes a [`Kind`](crate::support::mysql::Kind): one on
/// MySQL, one on MariaDB.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod on_mysql {
            $(#[test]
            fn $name() {
                super::$name($crate::support::mysql::Kind::MySql);
            })+
        }

        mod on_mariadb {
            $(#[test]
            fn $name() {
                super::$name($crate::support::mysql::Kind::MariaDb);
            })+
        }
    };
}

mod asked_after;
mod bad_input;
mod basics;
mod counted;
mod drivers;
mod login;
mod loss;
mod matrix;
mod operation;
mod orm;
mod rust_drivers;
mod server_loss;
mod settings;
mod sharing;
mod statements;
mod texts;
mod tools;
mod unpinning;
mod unseen;
