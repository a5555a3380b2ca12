//! Behaviours of the MySQL side, each shown with MySQL and with MariaDB.

/// Makes two tests of each function that takes a [`Kind`](crate::support::mysql::Kind): one on
/// MySQL, one on MariaDB.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod on_mysql {
            $(#[test]
            #[ignore = "the engine is being built"]
            fn $name() {
                super::$name($crate::support::mysql::Kind::MySql);
            })+
        }

        mod on_mariadb {
            $(#[test]
            #[ignore = "the engine is being built"]
            fn $name() {
                super::$name($crate::support::mysql::Kind::MariaDb);
            })+
        }
    };
}

mod basics;
mod drivers;
mod login;
mod rust_drivers;
mod settings;
mod texts;
mod tools;
