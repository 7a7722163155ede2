//! The macro that declares a section of settings: struct, reading, defaults and documentation from one text.

/// One setting, as docs/CONFIG.md shows it.
#[derive(Debug, Clone, Copy)]
pub struct SettingDoc {
    /// Key in the configuration file; dots are tables.
    pub key: &'static str,
    /// Default in its canonical form; empty when there is none.
    pub default: &'static str,
    /// The allowed values.
    pub allowed: &'static str,
    /// The effect of the setting.
    pub about: &'static str,
}

impl SettingDoc {
    /// The environment variable of the same setting.
    pub fn env(&self) -> String {
        super::source::env_name(self.key)
    }
}

/// Whether `field` is the last segment of `key`.
pub(super) const fn is_named_like(key: &str, field: &str) -> bool {
    let (key, field) = (key.as_bytes(), field.as_bytes());
    let Some(begin) = key.len().checked_sub(field.len()) else { return false };
    let mut at = 0;
    while at < field.len() {
        if key[begin + at] != field[at] {
            return false;
        }
        at += 1;
    }
    begin == 0 || key[begin - 1] == b'.'
}

macro_rules! section {
    (
        #[doc = $section_about:literal]
        pub struct $name:ident {
            $(#[doc = $about:literal] $field:ident: $type:ty = $key:literal, $default:literal;)*
        }
    ) => {
        #[doc = $section_about]
        #[derive(Debug, Clone)]
        pub struct $name {
            $(#[doc = $about] pub $field: <$type as $crate::config::Setting>::Value,)*
        }

        impl $name {
            /// The subject of the section.
            pub const ABOUT: &'static str = $section_about;

            /// Every setting of the section.
            pub const SETTINGS: &'static [$crate::config::SettingDoc] = &[
                $($crate::config::SettingDoc {
                    key: $key,
                    default: $default,
                    allowed: <$type as $crate::config::Setting>::ALLOWED,
                    about: $about,
                },)*
            ];

            pub(super) fn read(source: &mut $crate::config::SettingsReader) -> Self {
                Self { $($field: source.take::<$type>($key, $default),)* }
            }
        }

        $(const _: () = assert!($crate::config::section::is_named_like($key, stringify!($field)), $key);)*

        impl Default for $name {
            fn default() -> Self {
                Self::read(&mut $crate::config::SettingsReader::default())
            }
        }
    };
}

pub(super) use section;
