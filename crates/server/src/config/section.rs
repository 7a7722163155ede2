//! The macro that declares a section of settings: struct, reading, defaults and documentation from one text.

/// One setting, as docs/CONFIG.md shows it.
#[derive(Debug, Clone, Copy)]
pub struct SettingDoc {
    /// Key in the configuration file; dots are tables.
    pub key: &'static str,
    /// Default as it would be written; empty when there is none.
    pub default: &'static str,
    /// What may be written.
    pub allowed: &'static str,
    /// What the setting does.
    pub about: &'static str,
}

impl SettingDoc {
    /// The environment variable of the same setting.
    pub fn env(&self) -> String {
        super::source::env_name(self.key)
    }
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
            $(#[doc = $about] pub $field: $type,)*
        }

        impl $name {
            /// What the section is about.
            pub const ABOUT: &'static str = $section_about;

            /// Every setting of the section.
            pub const SETTINGS: &'static [$crate::config::SettingDoc] = &[
                $($crate::config::SettingDoc {
                    key: $key,
                    default: $default,
                    allowed: <$type as $crate::config::value::Setting>::ALLOWED,
                    about: $about,
                },)*
            ];

            pub(super) fn read(source: &mut $crate::config::SettingsReader) -> Self {
                Self { $($field: source.take($key, $default),)* }
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::read(&mut $crate::config::SettingsReader::default())
            }
        }
    };
}

pub(super) use section;
