//! What `wit/0.1.2` says, as Rust, which by the rules for change is also what the versions before it say. Generated; the modules under `imports/` and `kinds/` are its only users.
//!
//! One world of all kinds, so that each type exists once. A component is never held to that world as a whole: every
//! interface is looked up by itself among its exports, and so may be missing.
#![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code")]

wasmtime::component::bindgen!({
    inline: r#"
        package stormglass:every;

        world kind {
            include stormglass:plugin/client@0.1.2;
            export stormglass:plugin/collector@0.1.2;
            export stormglass:plugin/prober@0.1.2;
            export stormglass:plugin/discoverer@0.1.2;
            export stormglass:plugin/receiver@0.1.2;
            export stormglass:plugin/detector@0.1.2;
            export stormglass:plugin/trainer@0.1.2;
            export stormglass:plugin/decoder@0.1.2;
            export stormglass:plugin/function@0.1.2;
            export stormglass:plugin/sample-processor@0.1.2;
            export stormglass:plugin/span-processor@0.1.2;
        }
    "#,
    path: "../../wit/0.1.2",
    world: "stormglass:every/kind",
    imports: { default: async | trappable },
    exports: { default: async },
    with: { "stormglass:host/net.connection": crate::imports::net::Connection },
});
