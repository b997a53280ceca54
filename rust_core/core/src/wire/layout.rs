//! How the fields of a wire struct are declared: once, with their offsets, and asserted while compiling.
//!
//! [`wire_struct!`] defines a struct; [`wire_layout!`] describes one defined elsewhere. Both refuse to compile when
//! a field is missing, of another type, or at another offset than the one written beside it, and both give the
//! [`Layout`] from which [`super::layouts`] and [`super::describe`] are made.

/// Name, format (`u64`, `i8`, `f64`, `char[24]` …) and offset of one field.
pub type FieldLayout = (&'static str, String, usize);

/// Message name, type number, part (`header`, `root` or `record`) and fields of one struct.
pub type PartLayout = (&'static str, u8, &'static str, Vec<FieldLayout>);

/// A decoded field for code that does not know the message, such as the Python binding.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Any unsigned integer.
    U64(u64),
    /// Any signed integer.
    I64(i64),
    /// A float; NaN = not given.
    F64(f64),
    /// A fixed-width field of bytes, its NUL padding included.
    Bytes(Vec<u8>),
}

/// Decoded fields in wire order.
pub type Values = Vec<(&'static str, Value)>;

/// A type that a field may have.
pub trait Field: Copy {
    /// Its name in the tables of `docs/wire-format.md`.
    fn format() -> String;
    /// The value, widened.
    fn value(self) -> Value;
}

macro_rules! number_field {
    ($($number:ident as $wide:ident in $variant:ident),* $(,)?) => {$(
        impl Field for $number {
            fn format() -> String {
                stringify!($number).to_owned()
            }

            fn value(self) -> Value {
                Value::$variant($wide::from(self))
            }
        }
    )*};
}

number_field! {
    u8 as u64 in U64, u16 as u64 in U64, u32 as u64 in U64, u64 as u64 in U64,
    i8 as i64 in I64, i32 as i64 in I64, i64 as i64 in I64, f64 as f64 in F64,
}

impl<const N: usize> Field for [u8; N] {
    fn format() -> String {
        format!("char[{N}]")
    }

    fn value(self) -> Value {
        Value::Bytes(self.to_vec())
    }
}

/// A struct that lies on the wire.
pub trait Layout: Copy {
    /// Its fields in wire order.
    fn fields() -> Vec<FieldLayout>;
    /// What they hold.
    fn values(&self) -> Values;
}

/// Describes a struct: `wire_layout!(Level, 16 { 0 price: i64, 8 qty: i64, })`, size and offsets in bytes.
macro_rules! wire_layout {
    ($name:ident, $size:literal { $($offset:literal $field:ident: $type:ty),* $(,)? }) => {
        const _: () = {
            assert!(::core::mem::size_of::<$name>() == $size, "the size of a wire struct changed");
            $(assert!(::core::mem::offset_of!($name, $field) == $offset, "a field of a wire struct moved");)*
        };

        impl $crate::wire::layout::Layout for $name {
            fn fields() -> Vec<$crate::wire::layout::FieldLayout> {
                vec![$((
                    stringify!($field),
                    <$type as $crate::wire::layout::Field>::format(),
                    ::core::mem::offset_of!($name, $field),
                )),*]
            }

            fn values(&self) -> $crate::wire::layout::Values {
                // Without `..`: a field that the description forgets does not compile.
                let Self { $($field),* } = *self;
                vec![$((stringify!($field), <$type as $crate::wire::layout::Field>::value($field))),*]
            }
        }
    };
}

/// Defines a struct together with its [`Layout`]; the number before a field is its offset in bytes.
macro_rules! wire_struct {
    (
        $(#[$meta:meta])*
        pub struct $name:ident, $size:literal {
            $($(#[$field_meta:meta])* $offset:literal $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq,
            ::zerocopy::FromBytes, ::zerocopy::IntoBytes, ::zerocopy::Immutable, ::zerocopy::KnownLayout,
        )]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)*
        }

        $crate::wire::layout::wire_layout!($name, $size { $($offset $field: $type),* });
    };
}

pub(crate) use {wire_layout, wire_struct};
