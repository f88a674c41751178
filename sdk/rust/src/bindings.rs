//! What wit-bindgen makes of `wit/`: one module with everything that a plugin imports and must export, and one
//! for each kind. They are apart so that a component exports the kinds it has and no other; the kinds take the
//! shared types from [`base`].

#![allow(unsafe_code, reason = "the component model's calling convention; wit-bindgen generates every block")]
#![allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    reason = "generated; the WIT files document it"
)]
#![allow(clippy::all, reason = "generated")]
#![allow(clippy::undocumented_unsafe_blocks, clippy::allow_attributes_without_reason, reason = "generated")]
#![allow(
    clippy::needless_pass_by_value,
    clippy::semicolon_if_nothing_returned,
    clippy::mem_forget,
    reason = "generated"
)]

pub mod base {
    wit_bindgen::generate!({
        path: "../../wit/0.1.2",
        world: "stormglass:plugin/client",
        generate_all,
        generate_unused_types: true,
        additional_derives: [PartialEq],
        pub_export_macro: true,
        export_macro_name: "export_base",
    });
}

pub mod collector {
    wit_bindgen::generate!({
        path: "../../wit/0.1.2",
        inline: "package stormglass:sdk-collector; world collector-kind { export stormglass:plugin/collector@0.1.2; }",
        world: "stormglass:sdk-collector/collector-kind",
        with: { "stormglass:types/types@0.1.2": crate::bindings::base::stormglass::types::types },
        additional_derives: [PartialEq],
        pub_export_macro: true,
        export_macro_name: "export_collector",
    });
}

pub mod discoverer {
    wit_bindgen::generate!({
        path: "../../wit/0.1.2",
        inline: "package stormglass:sdk-discoverer; world discoverer-kind { export stormglass:plugin/discoverer@0.1.2; }",
        world: "stormglass:sdk-discoverer/discoverer-kind",
        with: { "stormglass:types/types@0.1.2": crate::bindings::base::stormglass::types::types },
        additional_derives: [PartialEq],
        pub_export_macro: true,
        export_macro_name: "export_discoverer",
    });
}

pub mod receiver {
    wit_bindgen::generate!({
        path: "../../wit/0.1.2",
        inline: "package stormglass:sdk-receiver; world receiver-kind { export stormglass:plugin/receiver@0.1.2; }",
        world: "stormglass:sdk-receiver/receiver-kind",
        with: { "stormglass:types/types@0.1.2": crate::bindings::base::stormglass::types::types },
        additional_derives: [PartialEq],
        pub_export_macro: true,
        export_macro_name: "export_receiver",
    });
}

pub mod detector {
    wit_bindgen::generate!({
        path: "../../wit/0.1.2",
        inline: "package stormglass:sdk-detector; world detector-kind { export stormglass:plugin/detector@0.1.2; }",
        world: "stormglass:sdk-detector/detector-kind",
        with: { "stormglass:types/types@0.1.2": crate::bindings::base::stormglass::types::types },
        additional_derives: [PartialEq],
        pub_export_macro: true,
        export_macro_name: "export_detector",
    });
}

pub mod prober {
    wit_bindgen::generate!({
        path: "../../wit/0.1.2",
        inline: "package stormglass:sdk-prober; world prober-kind { export stormglass:plugin/prober@0.1.2; }",
        world: "stormglass:sdk-prober/prober-kind",
        with: { "stormglass:types/types@0.1.2": crate::bindings::base::stormglass::types::types },
        additional_derives: [PartialEq],
        pub_export_macro: true,
        export_macro_name: "export_prober",
    });
}

pub mod trainer {
    wit_bindgen::generate!({
        path: "../../wit/0.1.2",
        inline: "package stormglass:sdk-trainer; world trainer-kind { export stormglass:plugin/trainer@0.1.2; }",
        world: "stormglass:sdk-trainer/trainer-kind",
        with: { "stormglass:types/types@0.1.2": crate::bindings::base::stormglass::types::types },
        additional_derives: [PartialEq],
        pub_export_macro: true,
        export_macro_name: "export_trainer",
    });
}

pub mod decoder {
    wit_bindgen::generate!({
        path: "../../wit/0.1.2",
        inline: "package stormglass:sdk-decoder; world decoder-kind { export stormglass:plugin/decoder@0.1.2; }",
        world: "stormglass:sdk-decoder/decoder-kind",
        with: { "stormglass:types/types@0.1.2": crate::bindings::base::stormglass::types::types },
        additional_derives: [PartialEq],
        pub_export_macro: true,
        export_macro_name: "export_decoder",
    });
}

pub mod function {
    wit_bindgen::generate!({
        path: "../../wit/0.1.2",
        inline: "package stormglass:sdk-function; world function-kind { export stormglass:plugin/function@0.1.2; }",
        world: "stormglass:sdk-function/function-kind",
        with: { "stormglass:types/types@0.1.2": crate::bindings::base::stormglass::types::types },
        additional_derives: [PartialEq],
        pub_export_macro: true,
        export_macro_name: "export_function",
    });
}

pub mod sample_processor {
    wit_bindgen::generate!({
        path: "../../wit/0.1.2",
        inline: "package stormglass:sdk-sample-processor; world sample-processor-kind { export stormglass:plugin/sample-processor@0.1.2; }",
        world: "stormglass:sdk-sample-processor/sample-processor-kind",
        with: { "stormglass:types/types@0.1.2": crate::bindings::base::stormglass::types::types },
        additional_derives: [PartialEq],
        pub_export_macro: true,
        export_macro_name: "export_sample_processor",
    });
}

pub mod span_processor {
    wit_bindgen::generate!({
        path: "../../wit/0.1.2",
        inline: "package stormglass:sdk-span-processor; world span-processor-kind { export stormglass:plugin/span-processor@0.1.2; }",
        world: "stormglass:sdk-span-processor/span-processor-kind",
        with: { "stormglass:types/types@0.1.2": crate::bindings::base::stormglass::types::types },
        additional_derives: [PartialEq],
        pub_export_macro: true,
        export_macro_name: "export_span_processor",
    });
}
