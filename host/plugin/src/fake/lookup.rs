//! Look-ups in the DNS that a test answers.

use serde::Deserialize;

use crate::bindings::stormglass::host::dns;
use crate::fake::Fake;
use crate::grants::{Denied, Grants};

/// A look-up that a plugin is expected to make, and its answer. It may be made any number of times.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lookup {
    /// The name, as the plugin writes it.
    pub lookup: String,
    /// Of what type the records are that it asks for.
    #[serde(rename = "type")]
    pub record_type: RecordType,
    /// The server that it names, where it names one.
    #[serde(default)]
    pub server: Option<String>,
    /// What comes back; nothing is an answer, too.
    #[serde(default)]
    pub answers: Vec<Record>,
    /// In place of answers: `no-such-name`, `timeout`, or what else went wrong.
    #[serde(default)]
    pub error: Option<String>,
}

/// A type of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the interface documents them, once")]
pub enum RecordType {
    A,
    Aaaa,
    Cname,
    Mx,
    Ns,
    Ptr,
    Srv,
    Txt,
}

/// A record.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Whose it is, with the dot at its end; the name that is looked up where there is none.
    #[serde(default)]
    pub name: Option<String>,
    /// For how many seconds it holds.
    #[serde(default, rename = "ttl")]
    pub ttl_seconds: u32,
    /// What it says.
    pub data: RecordData,
}

/// What a record says; fields as in the interface.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
#[expect(missing_docs, reason = "the interface documents them, once")]
pub enum RecordData {
    Address(String),
    Name(String),
    Mx { preference: u16, host: String },
    Srv { priority: u16, weight: u16, port: u16, target: String },
    Txt(String),
}

impl Fake {
    pub(crate) fn look_up(
        &self,
        grants: &Grants,
        name: &str,
        record_type: dns::RecordType,
        server: Option<&str>,
    ) -> Result<Result<Vec<dns::Entry>, dns::Error>, Denied> {
        grants.check_dns(name)?;
        let wanted = RecordType::from(record_type);
        let index = self.given.dns.iter().position(|answer| {
            answer.lookup == name && answer.record_type == wanted && answer.server.as_deref() == server
        });
        let Some((index, answer)) = index.and_then(|index| Some((index, self.given.dns.get(index)?))) else {
            let of = server.map(|server| format!(" of {server}")).unwrap_or_default();
            return Ok(Err(dns::Error::Other(format!("the test has no answer about {name}{of}"))));
        };
        self.looked_up.lock().insert(index);
        Ok(match answer.error.as_deref() {
            None => Ok(answer.answers.iter().map(|record| entry(name, record)).collect()),
            Some("no-such-name") => Err(dns::Error::NoSuchName),
            Some("timeout") => Err(dns::Error::Timeout),
            Some(other) => Err(dns::Error::Other(other.to_owned())),
        })
    }
}

fn entry(name: &str, record: &Record) -> dns::Entry {
    dns::Entry {
        name: record.name.clone().unwrap_or_else(|| format!("{}.", name.trim_end_matches('.'))),
        ttl_seconds: record.ttl_seconds,
        data: match record.data.clone() {
            RecordData::Address(address) => dns::Data::Address(address),
            RecordData::Name(name) => dns::Data::Name(name),
            RecordData::Mx { preference, host } => dns::Data::Mx(dns::Exchange { preference, host }),
            RecordData::Srv { priority, weight, port, target } => {
                dns::Data::Srv(dns::Service { priority, weight, port, target })
            }
            RecordData::Txt(text) => dns::Data::Txt(text),
        },
    }
}

impl From<dns::RecordType> for RecordType {
    fn from(record_type: dns::RecordType) -> Self {
        match record_type {
            dns::RecordType::A => Self::A,
            dns::RecordType::Aaaa => Self::Aaaa,
            dns::RecordType::Cname => Self::Cname,
            dns::RecordType::Mx => Self::Mx,
            dns::RecordType::Ns => Self::Ns,
            dns::RecordType::Ptr => Self::Ptr,
            dns::RecordType::Srv => Self::Srv,
            dns::RecordType::Txt => Self::Txt,
        }
    }
}
