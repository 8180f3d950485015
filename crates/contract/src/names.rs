//! Closed sets of names: an enum whose every value has a name and a sentence, so that lists, help and parsing agree.

/// Declares a closed set: `names! { ErrorType; Type, "what it names"; Variant = "name", … }`. Each variant's documentation
/// is its description. The error, of a name that is none, is made by `ErrorType::new(what, given, all_names)`.
#[macro_export]
macro_rules! names {
    (
        $error:ty; $(#[$meta:meta])* $type:ident, $what:literal;
        $($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $type { $($(#[doc = $doc])+ $variant,)+ }

        impl $type {
            /// Every one, in order.
            pub const ALL: &'static [$type] = &[$($type::$variant,)+];

            /// The name in scenarios, on command lines and in reports.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $($type::$variant => $name,)+ }
            }

            /// What it stands for, in one sentence.
            #[must_use]
            pub fn description(self) -> &'static str {
                match self { $($type::$variant => concat!($($doc),+).trim_ascii(),)+ }
            }
        }

        impl ::std::fmt::Display for $type {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl ::std::str::FromStr for $type {
            type Err = $error;

            fn from_str(name: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|v| v.name() == name).ok_or_else(|| {
                    let names: Vec<_> = Self::ALL.iter().map(|v| v.name()).collect();
                    <$error>::new($what, name, &names)
                })
            }
        }
    };
}

#[cfg(test)]
mod tests {
    #[derive(Debug, PartialEq, Eq)]
    pub struct Unknown(String);

    impl Unknown {
        pub fn new(what: &str, given: &str, names: &[&str]) -> Self {
            Self(format!("{what} {given} {names:?}"))
        }
    }

    names! {
        Unknown;
        /// Colours.
        Colour, "colour";
        /// Like blood.
        Red = "red",
        /// Like the sky,
        /// now and then.
        LightBlue = "light-blue",
    }

    #[test]
    fn a_set_lists_itself_reads_back_and_knows_what_is_none_of_it() {
        assert_eq!(Colour::ALL, [Colour::Red, Colour::LightBlue]);
        assert!(Colour::ALL.iter().all(|&c| c.to_string().parse() == Ok(c)));
        assert_eq!(Colour::LightBlue.name(), "light-blue");
        assert_eq!(Colour::LightBlue.description(), "Like the sky, now and then.");
        assert_eq!("rde".parse::<Colour>(), Err(Unknown(r#"colour rde ["red", "light-blue"]"#.to_owned())));
    }
}
