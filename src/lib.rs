//! Sluice: a database proxy that multiplexes many clients over few server connections.
//!
//! # The way of a request
//!
//! ```text
//! client ─ net ─ login (hello, prove) ─ session( front → pool → back ) ─ net ─ target
//! ```
//!
//! A session is one task. It owns the client's socket, the client's books ([`protocol::Front`])
//! and, while a transaction runs, a borrowed server connection with its books
//! ([`protocol::Back`]). Bytes are never translated: the engine reads headers, keeps its books,
//! and returns edits ([`protocol::Script`]); what is not edited goes from the read buffer to the
//! other socket as it came. There is no channel between the two directions, and an idle client
//! holds no buffer.
//!
//! # Modules
//!
//! | layer | module | is | may import |
//! |---|---|---|---|
//! | 0 | [`model`] | the shared nouns | nothing of ours |
//! | 0 | [`sql`] | what a text of SQL may do to a session | nothing of ours |
//! | 1 | [`protocol`] | wire protocols without input or output | 0 |
//! | 1 | [`router`] | which server a request goes to | 0 |
//! | 1 | [`telemetry`] | logs, counters, the metric registry | 0 |
//! | 2 | [`net`] | sockets, TLS, dialling, listening; tokio begins here | 0–1 |
//! | 3 | [`auth`] | users, what is stored about them, and what their tokens prove | 0–2, not `protocol` |
//! | 4 | [`aws`] | Amazon Web Services: where credentials come from, and secrets | 0–3, not `protocol` |
//! | 4 | [`pool`] | server connections, on deadpool under our own policy | 0–3 |
//! | 4 | [`topology`] | which servers a group has, and which of them is what | 0–3 |
//! | 5 | [`session`] | one client from accept to close | 0–4 |
//! | 6 | [`config`] | the file: raw, checked, planned | `model`, anyone's options, checks of users and log filters |
//! | 7 | [`daemon`], [`demo`], [`explain`], [`cli`] | the program | all |
//!
//! Imports go down only; `tests/architecture` checks it, and that what is meant to be pure
//! neither awaits nor reads the clock.
//!
//! # The seam between engines
//!
//! [`protocol::Engine`] is a family of types. Shared policy (when to borrow, when to give back,
//! what a time limit means) is written once, in `session` and `pool`; what differs in kind stays
//! with its protocol: statement names, replay of settings, the queue of replies owed.
//!
//! # Invariants
//!
//! 1. Transaction state comes from the server's replies, never from SQL keywords.
//! 2. A server connection goes back only when every reply it owes has come, no transaction is
//!    open, and nothing pins; whatever else it may hold is reset before it is lent again, or it
//!    is closed.
//! 3. Whatever cannot be read with certainty pins, and says why ([`model::PinReason`]).
//! 4. Lengths from the wire are checked before memory is taken. Memory for one client is bounded
//!    by what one read yields and the largest statement kept.
//! 5. Only a session's own task touches its server connection. Others raise a signal
//!    ([`session::handle::Signal`]), so a cancel request cannot reach somebody else's query.
//! 6. Secrets live in [`model::Secret`], which neither prints nor outlives its use.

pub mod auth;
pub mod aws;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod demo;
pub mod explain;
pub mod model;
pub mod net;
pub mod pool;
pub mod protocol;
pub mod router;
pub mod session;
pub mod sql;
pub mod telemetry;
pub mod topology;
