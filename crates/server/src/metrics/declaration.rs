//! The macros that declare metrics: one text gives the struct, the registration and the documentation.
//!
//! Invariant: values of labels come from the code (templates of routes, codes, operations), never from a request: their number is
//! bounded, and a scrape shows no id, path, key or address.

use std::hash::Hash;

use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

/// One metric, as docs/METRICS.md shows it.
#[derive(Debug, Clone, Copy)]
pub struct MetricDoc {
    /// Name without unit and `_total`.
    name: &'static str,
    /// Unit; empty for a number of things.
    unit: &'static str,
    /// Type.
    kind: MetricType,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// The meaning.
    pub about: &'static str,
}

impl MetricDoc {
    pub(super) const fn of<M: Documented>(name: &'static str, unit: &'static str, about: &'static str) -> Self {
        Self { name, unit, kind: M::KIND, labels: M::LABELS, about }
    }

    /// The name as scrapes have it; those of a histogram have `_bucket`, `_sum` and `_count` after it.
    pub fn full_name(&self) -> String {
        let unit = if self.unit.is_empty() { String::new() } else { format!("_{}", self.unit) };
        let total = if self.kind == MetricType::Counter { "_total" } else { "" };
        format!("{}{unit}{total}", self.name)
    }

    /// `counter`, `gauge` or `histogram`.
    pub fn kind(&self) -> &str {
        self.kind.as_str()
    }
}

/// The names of the labels of a struct.
pub(crate) trait Labels {
    /// In their order.
    const NAMES: &'static [&'static str];
}

/// The parts of a metric's documentation that follow from its type.
pub(crate) trait Documented {
    /// Type.
    const KIND: MetricType;
    /// Names of the labels.
    const LABELS: &'static [&'static str] = &[];
}

impl<N, A> Documented for Counter<N, A> {
    const KIND: MetricType = MetricType::Counter;
}

impl<N, A> Documented for Gauge<N, A> {
    const KIND: MetricType = MetricType::Gauge;
}

impl Documented for Histogram {
    const KIND: MetricType = MetricType::Histogram;
}

impl<S: Labels, M: Documented, C> Documented for Family<S, M, C> {
    const KIND: MetricType = M::KIND;
    const LABELS: &'static [&'static str] = S::NAMES;
}

/// Declares a set of labels, whose values are texts of the code or numbers.
macro_rules! labels {
    ($(#[doc = $about:literal])+ pub(crate) struct $name:ident { $($label:ident: $value:ty),+ $(,)? }) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, prometheus_client::encoding::EncodeLabelSet)]
        pub(crate) struct $name {
            $(pub(crate) $label: $value,)+
        }

        impl $crate::metrics::declaration::Labels for $name {
            const NAMES: &'static [&'static str] = &[$(stringify!($label)),+];
        }
    };
}

/// Declares a group of metrics: for each its meaning, its field with its type, its name, its unit (`""` for a number of things),
/// and perhaps how it is made.
macro_rules! metrics {
    (
        #[doc = $group_about:literal]
        pub struct $group:ident {
            $(#[doc = $about:literal] $field:ident: $type:ty = $name:literal, $unit:literal $(, $make:expr)?;)+
        }
    ) => {
        #[doc = $group_about]
        #[derive(Debug, Clone)]
        pub struct $group {
            $(#[doc = $about] pub(crate) $field: $type,)+
        }

        impl Default for $group {
            fn default() -> Self {
                Self { $($field: $crate::metrics::declaration::made!($($make)?),)+ }
            }
        }

        impl $group {
            /// The subject of the group.
            pub(super) const ABOUT: &'static str = $group_about;

            /// Every metric of the group.
            pub(super) const METRICS: &'static [$crate::metrics::MetricDoc] =
                &[$($crate::metrics::MetricDoc::of::<$type>($name, $unit, $about),)+];

            /// Adds the group to a registry, which shares its figures.
            pub(super) fn register(&self, registry: &mut prometheus_client::registry::Registry) {
                $($crate::metrics::declaration::register(registry, $name, $unit, $about, self.$field.clone());)+
            }
        }
    };
}

/// The given value, or the default one.
macro_rules! made {
    () => {
        Default::default()
    };
    ($make:expr) => {
        $make
    };
}

pub(super) use {labels, made, metrics};

/// Counters that begin at zero: a rate over the first event needs an earlier sample.
pub(super) fn zeros<S: Clone + Hash + Eq>(labels: impl IntoIterator<Item = S>) -> Family<S, Counter> {
    let family = Family::<S, Counter>::default();
    for labels in labels {
        drop(family.get_or_create(&labels));
    }
    family
}

/// Registers one metric. The library ends the text with a full stop itself.
pub(super) fn register(
    registry: &mut prometheus_client::registry::Registry,
    name: &'static str,
    unit: &'static str,
    about: &'static str,
    metric: impl prometheus_client::registry::Metric,
) {
    use prometheus_client::registry::Unit;
    let about = about.trim_end_matches('.');
    match unit {
        "" => registry.register(name, about, metric),
        "seconds" => registry.register_with_unit(name, about, Unit::Seconds, metric),
        "bytes" => registry.register_with_unit(name, about, Unit::Bytes, metric),
        other => registry.register_with_unit(name, about, Unit::Other(other.to_owned()), metric),
    }
}
