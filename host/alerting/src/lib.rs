//! From an expression to a message on somebody's phone: rules, alert state, routing, grouping, notification.
//!
//! * A **rule** is an expression that is evaluated again and again. A recording rule stores what it yields; an
//!   alerting rule turns every series it yields into an **alert**. Rules live in groups ([`rules`]); the
//!   [`RuleManager`] evaluates each group at its interval and keeps the alerts' state: pending while `for`
//!   runs, firing, resolved.
//! * Labels and annotations of alerts are **templates** in Go's language ([`template`]).
//! * Firing and resolved alerts go to the [`Dispatcher`], which is configured as Alertmanager is ([`config`]):
//!   a tree of routes says who receives an alert and which alerts travel together as a **group**. Alerts that
//!   another one inhibits are held back.
//! * A group becomes a [`Notification`] when something in it has changed since the **notification log** last
//!   said so, or when the repeat interval is over. The log survives restarts.
//!
//! * [`unit_test`] runs rules over series that a test file writes down, and holds what comes out to what it expects.
//!
//! The crate knows no HTTP, no plugins and no storage engine: [`Query`] evaluates expressions, `model::Append`
//! stores samples, [`Receiver`] delivers notifications and [`Clock`] tells the time. The server passes them in.

mod alert;
mod clock;
pub mod config;
mod dispatch;
mod error;
mod metrics;
mod notification;
mod query;
pub mod rules;
pub mod template;
pub mod unit_test;

pub use alert::{Alert, AlertSink, Fingerprint};
pub use clock::{Clock, SystemClock, rfc3339_or_zero};
pub use dispatch::{Dispatcher, DispatcherOptions};
pub use error::Error;
pub use notification::{Notification, NotificationAlert, NotifyError, Receiver, Status};
pub use query::{Query, QueryFailure, RuleGroupName, RuleVector, latest_samples, rule_vector};
pub use rules::{RuleManager, RuleManagerOptions, RuleSettings};
