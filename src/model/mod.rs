//! The shared nouns: plain values that every layer may name. Nothing here does work,
//! and nothing here knows a wire protocol.

pub mod consistency;
pub mod credential;
pub mod engine;
pub mod fault;
pub mod ident;
pub mod observation;
pub mod pin;
pub mod pool_mode;
pub mod progress;
pub mod secret;
pub mod target;
pub mod tls_facts;

pub use consistency::Consistency;
pub use credential::{
    AcceptedToken, AuthMethod, Credential, MAX_TOKEN_LEN, Parsec, Proof, ScramKeys, ScramVerifier,
    SealingKey, ShaCrypt, Verifier,
};
pub use engine::EngineFamily;
pub use fault::{Fault, FaultKind};
pub use ident::{PoolKey, SessionId, TargetName};
pub use observation::{LookFailure, Observation};
pub use pin::{Finding, PinPolicy, PinReason, Pins, Share};
pub use pool_mode::PoolMode;
pub use progress::{Progress, TxStatus};
pub use secret::Secret;
pub use target::{
    Listed, Member, Position, Role, Roll, Snapshot, StateReason, TargetRole, TargetState,
};
pub use tls_facts::TlsFacts;
