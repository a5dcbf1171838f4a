//! What is chosen by its name, on command lines and in files.

/// Gives a type that has `ALL` and `name` its texts: `Display`, and `FromStr`, whose error names all that there are.
macro_rules! said_by_name {
    ($kind:ident, $what:literal) => {
        impl ::std::fmt::Display for $kind {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl ::std::str::FromStr for $kind {
            type Err = String;

            /// # Errors
            /// Any other text.
            fn from_str(text: &str) -> Result<$kind, String> {
                let found = $kind::ALL.into_iter().find(|one| one.name() == text);
                found.ok_or_else(|| {
                    let names = $kind::ALL.map($kind::name).join(", ");
                    format!(concat!("there is no ", $what, " {:?}; there are {}"), text, names)
                })
            }
        }
    };
}

pub(crate) use said_by_name;
