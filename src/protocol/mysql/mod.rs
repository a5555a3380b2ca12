//! The MySQL client/server protocol, of MySQL and MariaDB.
//!
//! Facts are cited from MySQL's source documentation (`dev.mysql.com/doc/dev/mysql-server`, page
//! "Client/Server Protocol", called "MySQL protocol" below) and from MariaDB's knowledge base
//! ("Client/Server Protocol", called "MariaDB protocol").

pub mod accept;
pub mod capability;
pub mod command;
pub mod connect;
pub mod fault;
pub mod frame;
pub mod greeting;
pub mod login;
pub mod message;
pub mod plugin;
pub mod probe;
pub mod prove;
pub mod response;
pub mod status;
pub mod wire;
