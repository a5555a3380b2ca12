//! The MySQL client/server protocol, of MySQL and MariaDB.
//!
//! Facts are cited from MySQL's source documentation (`dev.mysql.com/doc/dev/mysql-server`, page
//! "Client/Server Protocol", called "MySQL protocol" below) and from MariaDB's knowledge base
//! ("Client/Server Protocol", called "MariaDB protocol").

pub mod capability;
pub mod command;
pub mod frame;
pub mod login;
pub mod message;
pub mod status;
pub mod wire;
