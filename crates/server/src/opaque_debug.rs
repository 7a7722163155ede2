//! `Debug` of types that hold connections, tasks or secrets: their name, and nothing of their contents.

/// Implements `Debug` for these types as their name and `..`.
macro_rules! opaque_debug {
    ($($name:ident$(<$lifetime:lifetime>)?),+) => {
        $(impl std::fmt::Debug for $name$(<$lifetime>)? {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        })+
    };
}

pub(crate) use opaque_debug;
