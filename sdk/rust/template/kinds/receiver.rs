//! Logs what it is told.

use stormglass_sdk::{NoConfig, Notification, Plugin, Receiver, Result, log, receiver};

struct Hello;

impl Plugin for Hello {
    type Config = NoConfig;
    fn init(_config: NoConfig) -> Result<Self> {
        Ok(Hello)
    }
}

impl Receiver for Hello {
    fn notify(&mut self, notification: &Notification) -> Result<()> {
        log::info!("{}: {}", notification.status.as_str(), notification.alerts.len());
        Ok(())
    }
}

receiver!(Hello);
