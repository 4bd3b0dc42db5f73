//! How the tables of the specifications are written down: fields by bit, structures by byte offset, values by name.
//!
//! Everything is little-endian bytes of alignment 1, so that any bytes a device wrote can be looked at as what they should be.

/// A word of named bits. Flags (`name: bit`) are `bool`; behind `=> fields` stand numbers (`name: low, width`). What is named `name / with_name` can be set.
macro_rules! bits {
    (
        $(#[$meta:meta])* $name:ident($int:ty) {
            $($(#[doc = $flag_doc:literal])* $flag:ident $(/ $with_flag:ident)?: $bit:literal;)*
            $(=> fields { $($(#[$doc:meta])* $field:ident $(/ $with:ident)?: $low:literal, $width:literal;)* })?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Default)]
        #[derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout, zerocopy::Unaligned)]
        #[repr(transparent)]
        pub struct $name([u8; size_of::<$int>()]);

        impl $name {
            /// All of it, from the number that it is.
            #[inline]
            pub const fn from_bits(bits: $int) -> Self {
                Self(bits.to_le_bytes())
            }

            /// All of it, as a number.
            #[inline]
            pub const fn bits(self) -> $int {
                <$int>::from_le_bytes(self.0)
            }

            $(
                $(#[doc = $flag_doc])*
                #[inline]
                pub const fn $flag(self) -> bool {
                    self.bits() >> $bit & 1 == 1
                }
                $(
                    #[doc = concat!("With [`", stringify!($flag), "`](Self::", stringify!($flag), ") set to this.")]
                    #[must_use]
                    #[inline]
                    pub const fn $with_flag(self, value: bool) -> Self {
                        Self::from_bits(self.bits() & !(1 << $bit) | (value as $int) << $bit)
                    }
                )?
            )*
            $($(
                $(#[$doc])*
                #[inline]
                pub const fn $field(self) -> $int {
                    self.bits() >> $low & (<$int>::MAX >> (<$int>::BITS - $width))
                }
                $(
                    #[doc = concat!("With [`", stringify!($field), "`](Self::", stringify!($field), ") set to this.")]
                    ///
                    /// # Panics
                    /// If it has more bits than the field.
                    #[must_use]
                    #[inline]
                    pub const fn $with(self, value: $int) -> Self {
                        let mask = <$int>::MAX >> (<$int>::BITS - $width);
                        assert!(value <= mask, concat!("too large for the field ", stringify!($field)));
                        Self::from_bits(self.bits() & !(mask << $low) | value << $low)
                    }
                )?
            )*)?
        }

        const _: () = {
            $(assert!($bit < <$int>::BITS, concat!("place of ", stringify!($flag)));)*
            $($(
                let (low, width): (u32, u32) = ($low, $width);
                assert!(low + width <= <$int>::BITS, concat!("place of ", stringify!($field)));
            )*)?
        };

        impl $crate::nvme::spec::Bits for $name {
            const FLAGS: &'static [$crate::nvme::spec::Flag] = &[$($crate::nvme::spec::Flag {
                bit: $bit,
                name: stringify!($flag),
                about: concat!($($flag_doc),*).trim_ascii_start(),
            }),*];
            const KNOWN: u64 = 0 $(| 1 << $bit)* $($(| (u64::MAX >> (64 - $width)) << $low)*)?;

            fn number(self) -> u64 {
                self.bits().into()
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name))
                    $(.field(stringify!($flag), &self.$flag()))*
                    $($(.field(stringify!($field), &self.$field()))*)?
                    .finish()
            }
        }
    };
}

/// A structure of so many bytes; each field stands behind its offset, as in the specification's tables. Both are checked at
/// compile time.
macro_rules! layout {
    (
        $(#[$meta:meta])* $name:ident: $size:literal {
            $($(#[$doc:meta])* $at:literal $vis:vis $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout, zerocopy::Unaligned)]
        #[repr(C)]
        pub struct $name {
            $($(#[$doc])* $vis $field: $type,)*
        }

        const _: () = {
            assert!(size_of::<$name>() == $size);
            $(assert!(std::mem::offset_of!($name, $field) == $at, concat!("offset of ", stringify!($field)));)*
        };

        impl Default for $name {
            /// All zeroes.
            fn default() -> Self {
                zerocopy::FromZeros::new_zeroed()
            }
        }
    };
}

/// A number with names for some of its values: what a device says that is not among them stays what it is.
macro_rules! codes {
    (
        $(#[$meta:meta])* $name:ident($int:ty) { $($code:ident = $value:literal, $text:literal, $section:literal;)* }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub $int);

        impl $name {
            $(
                #[doc = concat!($text, " (", $section, ").")]
                pub const $code: Self = Self($value);
            )*

            /// What the specification calls it, if it knows it.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some($text),)*
                    _ => None,
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self.name() {
                    Some(name) => f.pad(name),
                    None => write!(f, "{:#x}", self.0),
                }
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({:#x}", stringify!($name), self.0)?;
                match self.name() {
                    Some(name) => write!(f, ", {name})"),
                    None => write!(f, ")"),
                }
            }
        }
    };
}
