//! What Sluice shows to servers: passwords that change while clients work, and tokens of its own.

mod bed;
mod files;
mod rotation;
mod tokens;
