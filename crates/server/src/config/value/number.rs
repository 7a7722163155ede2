//! Numbers without a unit.

use std::ops::RangeInclusive;

use super::Setting;

/// A count of things, at least one.
#[derive(Debug)]
pub enum Count {}

/// A count of database connections: one connection cannot serve a server, since some requests hold two.
#[derive(Debug)]
pub enum Connections {}

/// A share in percent.
#[derive(Debug)]
pub enum Percent {}

impl Setting for Count {
    type Value = u32;

    const ALLOWED: &'static str = "a whole number from 1 to 1000000";

    fn parse(text: &str) -> Option<u32> {
        within(text, 1..=1_000_000)
    }
}

impl Setting for Connections {
    type Value = u32;

    const ALLOWED: &'static str = "a whole number from 2 to 1000";

    fn parse(text: &str) -> Option<u32> {
        within(text, 2..=1000)
    }
}

impl Setting for Percent {
    type Value = u32;

    const ALLOWED: &'static str = "a whole number of percent from 0 to 100";

    fn parse(text: &str) -> Option<u32> {
        within(text, 0..=100)
    }
}

fn within(text: &str, range: RangeInclusive<u32>) -> Option<u32> {
    text.parse().ok().filter(|number| range.contains(number))
}
