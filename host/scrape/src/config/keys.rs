//! Sections that have some keys in common with others, beside keys of their own.
//!
//! serde's own `flatten` reads such keys into a buffer first, and an error then has no place in the file. Here
//! each key goes to whoever wants it as it is met, and what nobody wants is refused where it stands.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Error as _, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Takes the keys that sections have in common.
pub trait TakeKeys {
    /// Whether the key is one of them.
    fn wants(&self, key: &str) -> bool;

    /// Takes the value of a key that [`TakeKeys::wants`].
    ///
    /// # Errors
    /// Whatever is wrong with the value.
    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error>;
}

/// A section that shares keys with others.
pub trait SplitConfig<'de>: Sized {
    /// The keys that it shares.
    type Keys: TakeKeys + Default;

    /// Reads the section's own keys, and refuses all others.
    ///
    /// # Errors
    /// Whatever is wrong with them.
    fn rest<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;

    /// Puts both together, and checks what concerns several keys.
    ///
    /// # Errors
    /// What is wrong.
    fn join(&mut self, keys: Self::Keys) -> Result<(), String>;
}

/// Reads a section.
///
/// # Errors
/// Whatever is wrong with it.
pub fn deserialize<'de, T: SplitConfig<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_map(SectionVisitor(PhantomData))
}

struct SectionVisitor<T>(PhantomData<T>);

impl<'de, T: SplitConfig<'de>> Visitor<'de> for SectionVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of keys and values")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        let mut keys = T::Keys::default();
        let mut section = T::rest(MapAccessDeserializer::new(Split { map, keys: &mut keys }))?;
        section.join(keys).map_err(A::Error::custom)?;
        Ok(section)
    }
}

/// The map without the keys that are shared.
struct Split<'k, A, K> {
    map: A,
    keys: &'k mut K,
}

impl<'de, A: MapAccess<'de>, K: TakeKeys> MapAccess<'de> for Split<'_, A, K> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let mut seed = Some(seed);
        loop {
            let wanted = KeySeed { keys: &*self.keys, own: &mut seed };
            match self.map.next_key_seed(wanted)? {
                None => return Ok(None),
                Some(Key::Own(key)) => return Ok(Some(key)),
                Some(Key::Shared(key)) => self.keys.take(&key, &mut self.map)?,
            }
        }
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

enum Key<V> {
    Own(V),
    Shared(String),
}

/// Reads a key; one of the section's own is judged while the reader still knows where it stands.
struct KeySeed<'k, K, S> {
    keys: &'k K,
    own: &'k mut Option<S>,
}

impl<'de, K: TakeKeys, S: DeserializeSeed<'de>> DeserializeSeed<'de> for KeySeed<'_, K, S> {
    type Value = Key<S::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let key = String::deserialize(deserializer)?;
        if self.keys.wants(&key) {
            return Ok(Key::Shared(key));
        }
        let own = self.own.take().ok_or_else(|| D::Error::custom("a key is read twice"))?;
        own.deserialize(key.into_deserializer()).map(Key::Own)
    }
}
