//! The PostgreSQL frontend/backend protocol, version 3
//! (<https://www.postgresql.org/docs/current/protocol.html>).
