//! What a database's own catalogue says about the code that a query may run unseen.

use foldhash::{HashMap, HashSet};

/// What is known of a function by its name: of the worst of those that share the name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Code {
    /// It only reads, as its author has declared.
    Reads,
    /// It may do more.
    May,
    /// No function of this name is known here; it may be the server's own.
    Unknown,
}

/// The functions, relations and operators of one database that matter.
///
/// Names are those of the catalogue without their schemas: where a name stands for several things, the worst counts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Catalogue {
    functions: HashMap<Box<str>, bool>,
    relations: HashSet<Box<str>>,
    operators: HashSet<Box<str>>,
    fields: HashSet<Box<str>>,
    casts: bool,
}

impl Catalogue {
    /// A database in which nobody has defined anything but tables.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A function, and whether it only reads.
    pub fn add_function(&mut self, name: &str, reads: bool) {
        match self.functions.get_mut(name) {
            Some(known) => *known &= reads,
            None => {
                self.functions.insert(name.into(), reads);
            }
        }
    }

    /// A relation that runs code which may do more than read, or that a replica does not have as it is.
    pub fn add_relation(&mut self, name: &str) {
        self.relations.insert(name.into());
    }

    /// An operator whose function may do more than read.
    pub fn add_operator(&mut self, name: &str) {
        self.operators.insert(name.into());
    }

    /// A function that may do more than read, and that can be written as if it were a column.
    pub fn add_field(&mut self, name: &str) {
        self.fields.insert(name.into());
    }

    /// There are casts or checks of domains that may do more than read, which texts do not show.
    pub fn add_casts(&mut self) {
        self.casts = true;
    }

    /// What is known of a function.
    #[must_use]
    pub fn function(&self, name: &str) -> Code {
        match self.functions.get(name) {
            Some(true) => Code::Reads,
            Some(false) => Code::May,
            None => Code::Unknown,
        }
    }

    /// Whether reading from a relation of this name may do more than read.
    #[must_use]
    pub fn is_relation_unsafe(&self, name: &str) -> bool {
        self.relations.contains(name)
    }

    /// Whether an operator of this name may do more than read.
    #[must_use]
    pub fn is_operator_unsafe(&self, name: &str) -> bool {
        self.operators.contains(name)
    }

    /// Whether a column of this name may be a call.
    #[must_use]
    pub fn is_field_unsafe(&self, name: &str) -> bool {
        self.fields.contains(name)
    }

    /// Whether casts that a text does not show may do more than read.
    #[must_use]
    pub const fn has_unsafe_casts(&self) -> bool {
        self.casts
    }

    /// How many functions and relations are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.functions.len() + self.relations.len()
    }

    /// Whether nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::{Catalogue, Code};

    #[test]
    fn of_functions_with_one_name_the_worst_counts() {
        let mut catalogue = Catalogue::new();
        catalogue.add_function("f", true);
        assert_eq!(catalogue.function("f"), Code::Reads);
        catalogue.add_function("f", false);
        catalogue.add_function("f", true);
        assert_eq!(catalogue.function("f"), Code::May);
        assert_eq!(catalogue.function("g"), Code::Unknown);
    }
}
