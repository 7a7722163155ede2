//! Values of parameters and columns, for both engines.

use std::borrow::Cow;

use crate::model::Timestamp;

/// A value of SQL.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// NULL
    Null,
    /// BIGINT
    Integer(i64),
    /// BOOLEAN, which SQLite keeps as an integer.
    Boolean(bool),
    /// TEXT
    Text(Cow<'a, str>),
    /// BLOB
    Blob(Cow<'a, [u8]>),
}

impl Value<'_> {
    /// The same value with its own copy of the bytes.
    pub(in crate::db) fn into_owned(self) -> Value<'static> {
        match self {
            Self::Null => Value::Null,
            Self::Integer(number) => Value::Integer(number),
            Self::Boolean(is) => Value::Boolean(is),
            Self::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Self::Blob(bytes) => Value::Blob(Cow::Owned(bytes.into_owned())),
        }
    }
}

/// A type that can be a parameter of a query.
pub trait Parameter {
    /// The value in SQL.
    fn to_value(&self) -> Value<'_>;
}

impl Parameter for Value<'_> {
    fn to_value(&self) -> Value<'_> {
        self.clone()
    }
}

impl Parameter for i64 {
    fn to_value(&self) -> Value<'_> {
        Value::Integer(*self)
    }
}

impl Parameter for u32 {
    fn to_value(&self) -> Value<'_> {
        Value::Integer(i64::from(*self))
    }
}

impl Parameter for Timestamp {
    fn to_value(&self) -> Value<'_> {
        Value::Integer(self.unix_milliseconds())
    }
}

impl Parameter for bool {
    fn to_value(&self) -> Value<'_> {
        Value::Boolean(*self)
    }
}

impl Parameter for str {
    fn to_value(&self) -> Value<'_> {
        Value::Text(Cow::Borrowed(self))
    }
}

impl Parameter for String {
    fn to_value(&self) -> Value<'_> {
        self.as_str().to_value()
    }
}

impl Parameter for [u8] {
    fn to_value(&self) -> Value<'_> {
        Value::Blob(Cow::Borrowed(self))
    }
}

impl<const N: usize> Parameter for [u8; N] {
    fn to_value(&self) -> Value<'_> {
        self.as_slice().to_value()
    }
}

impl<T: Parameter + ?Sized> Parameter for &T {
    fn to_value(&self) -> Value<'_> {
        (**self).to_value()
    }
}

impl<T: Parameter> Parameter for Option<T> {
    fn to_value(&self) -> Value<'_> {
        self.as_ref().map_or(Value::Null, Parameter::to_value)
    }
}

/// A type that can be read from a column.
pub(crate) trait Column: Sized {
    /// Converts a value; `None` if it has another type.
    fn from_value(value: Value<'_>) -> Option<Self>;
}

impl Column for i64 {
    fn from_value(value: Value<'_>) -> Option<Self> {
        match value {
            Value::Integer(number) => Some(number),
            _ => None,
        }
    }
}

impl Column for u32 {
    fn from_value(value: Value<'_>) -> Option<Self> {
        i64::from_value(value).and_then(|number| number.try_into().ok())
    }
}

impl Column for Timestamp {
    fn from_value(value: Value<'_>) -> Option<Self> {
        i64::from_value(value).map(Self::from_unix_milliseconds)
    }
}

impl Column for bool {
    fn from_value(value: Value<'_>) -> Option<Self> {
        match value {
            Value::Boolean(is) => Some(is),
            Value::Integer(number @ 0..=1) => Some(number == 1),
            _ => None,
        }
    }
}

impl Column for String {
    fn from_value(value: Value<'_>) -> Option<Self> {
        match value {
            Value::Text(text) => Some(text.into_owned()),
            _ => None,
        }
    }
}

impl Column for Vec<u8> {
    fn from_value(value: Value<'_>) -> Option<Self> {
        match value {
            Value::Blob(bytes) => Some(bytes.into_owned()),
            _ => None,
        }
    }
}

impl<const N: usize> Column for [u8; N] {
    fn from_value(value: Value<'_>) -> Option<Self> {
        match value {
            Value::Blob(bytes) => bytes.as_ref().try_into().ok(),
            _ => None,
        }
    }
}

impl<T: Column> Column for Option<T> {
    fn from_value(value: Value<'_>) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            value => T::from_value(value).map(Some),
        }
    }
}
