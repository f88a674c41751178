//! `stormglass:host/dns`: look-ups in the DNS, where granted.

use std::net::{IpAddr, SocketAddr};

use crate::bindings::stormglass::host::dns::{Entry, Error, Host, RecordType};
use crate::grants::net::{NetGrant, parse_host};
use crate::imports::http::timeout_within;
use crate::limits::NET_TIMEOUT_MAX;
use crate::net::dns::{LookupError, Servers, lookup};
use crate::state::State;

impl Host for State {
    async fn lookup(
        &mut self,
        name: String,
        record_type: RecordType,
        server: Option<String>,
        timeout_ms: Option<u64>,
    ) -> wasmtime::Result<Result<Vec<Entry>, Error>> {
        self.count_host_call()?;
        if let Some(fake) = self.tenant.fake.clone() {
            return Ok(match fake.look_up(&self.tenant.grants, &name, record_type, server.as_deref()) {
                Ok(answer) => answer,
                Err(denied) => Err(Error::Denied(self.deny(denied))),
            });
        }
        let timeout = timeout_within(NET_TIMEOUT_MAX, timeout_ms, self.time_left());
        let looked = tokio::time::timeout(timeout, self.look_up(&name, record_type, server)).await;
        let answer = looked.unwrap_or(Err(Error::Timeout));
        let decision = match &answer {
            Err(Error::Denied(_)) => "denied",
            Err(Error::Invalid(_)) => "invalid",
            _ => "allowed",
        };
        self.tenant.metrics.lookups.with_label_values(&[&*self.tenant.name, decision]).inc();
        Ok(answer)
    }
}

impl State {
    async fn look_up(
        &mut self,
        name: &str,
        record_type: RecordType,
        server: Option<String>,
    ) -> Result<Vec<Entry>, Error> {
        let grants = std::sync::Arc::clone(&self.tenant.grants);
        grants.check_dns(name).map_err(|denied| Error::Denied(self.deny(denied)))?;
        let servers = match server {
            None => Servers::system().await,
            Some(server) => Servers::one(self.name_server(&server).await?),
        };
        lookup(&servers, name, record_type).await.map_err(|error| match error {
            LookupError::InvalidName(what) => Error::Invalid(what),
            LookupError::NoSuchName => Error::NoSuchName,
            LookupError::Failed(what) => Error::Other(what),
        })
    }

    /// The address of a server that the guest names, checked as for a connection.
    async fn name_server(&mut self, server: &str) -> Result<SocketAddr, Error> {
        let grants = std::sync::Arc::clone(&self.tenant.grants);
        let _: NetGrant = server.parse().map_err(Error::Invalid)?;
        let (host, port) = server.rsplit_once(':').unwrap_or((server, ""));
        let (Some(host), Ok(port)) = (parse_host(host), port.parse::<u16>()) else {
            return Err(Error::Invalid(format!("{server:?} is no server")));
        };
        grants.check_net(&host, port).map_err(|denied| Error::Denied(self.deny(denied)))?;
        let address: IpAddr = match &host {
            url::Host::Ipv4(address) => (*address).into(),
            url::Host::Ipv6(address) => (*address).into(),
            url::Host::Domain(name) => self
                .tenant
                .network
                .addresses(name)
                .await
                .ok()
                .and_then(|found| found.first().copied())
                .ok_or_else(|| Error::Other(format!("{name} has no address")))?,
        };
        let checked = grants.check_net_address(&host, port, address);
        checked.map_err(|denied| Error::Denied(self.deny(denied)))?;
        Ok(SocketAddr::new(address, port))
    }
}
