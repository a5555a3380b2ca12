//! What Sluice shows to servers: passwords that change while clients work, and tokens of its own.

mod bed;
mod files;
mod own_tokens;
mod places;
mod rotation;
mod tokens;
