//! tmp
use std::sync::Arc;
/// tmp
pub struct Login {
    /// t
    pub user: Arc<str>,
    /// t
    pub database: Arc<str>,
    /// t
    pub settings: Vec<(String, Vec<u8>)>,
}
