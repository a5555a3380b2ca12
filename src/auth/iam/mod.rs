//! IAM database tokens: what they say, what can be checked without anybody's help, and their
//! signatures and policies where the keys are known.
//!
//! A token is a presigned request without its scheme (AWS documentation, "IAM database
//! authentication"; "Signature Version 4"):
//! `host:port/?Action=connect&DBUser=…&X-Amz-Algorithm=AWS4-HMAC-SHA256&…&X-Amz-Signature=…`.
//! Everything here is bytes, values and the time in, a verdict out.

pub mod audience;
pub mod keys;
mod percent;
pub mod policy;
pub mod presign;
#[cfg(test)]
mod tests;
pub mod token;

pub use audience::{Audience, region_of};
pub use keys::{AccessKey, KeyRing};
pub use policy::{Policy, PolicyError};
pub use presign::{Presign, SignError};
pub use token::{MAX_TOKEN_LEN, Token};
