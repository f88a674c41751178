//! Searches for traces.

use traces::{Query, parse_tags};

use crate::Target;

pub(crate) const TRACEQL: Target = Target {
    name: "traceql",
    run: |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        // Whether it is a query is not asked, only that finding out does no harm.
        let _ = (Query::parse(text), parse_tags(text));
    },
    seeds: || {
        let queries = [
            "{ resource.service.name = \"cart\" && duration > 1.5s || span.http.status_code >= 500 }",
            "{ name =~ \"GET .*\" } && { status = error }",
            "service.name=cart http.status_code=500 error=true name=\"a b\"",
        ];
        queries.iter().map(|query| query.as_bytes().to_vec()).collect()
    },
};
