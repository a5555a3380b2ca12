//! The relay between clients and servers of a model: see `tests/relay_model`.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../relay_model/model/mod.rs"]
mod model;

fuzz_target!(|case: model::script::Case| model::world::run(&case));
