//! What goes over the wire.

/// Who is to be greeted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    pub name: String,
}

/// A greeting, with the number that no other has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    pub number: u64,
    pub text: String,
}

/// How many were greeted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    pub greeted: u64,
}
