//! Integers that came back rounded from a guest which left them alone.
//!
//! JavaScript's numbers are doubles, and so the times of spans, which are nanoseconds since the epoch and have 61 bits, reach a
//! guest in that language rounded to 53, as large integers of attributes do. What it hands back as it was handed is put right
//! here: an integer that is the double next to the one that was given in the same place is taken for that. What a guest
//! changes stays as it says. Guests of other languages hand back what they were given, and nothing is done for them.

use std::collections::HashMap;

use crate::bindings::exports::stormglass::plugin::span_processor::{
    Attribute, AttributeValue, Event, Span, Spans,
};

/// From here on not every integer is a double.
const EXACT_MAX: u64 = 1 << f64::MANTISSA_DIGITS;

/// Puts right what was rounded on its way through the guest.
pub(super) fn restore(given: &Spans, answered: &mut Spans) {
    for (given, answered) in given.resources.iter().zip(&mut answered.resources) {
        restore_attributes(given, answered);
    }
    for (given, answered) in given.scopes.iter().zip(&mut answered.scopes) {
        restore_attributes(&given.attributes, &mut answered.attributes);
    }
    let mut by_id: Option<HashMap<_, &Span>> = None;
    for span in answered.spans.iter_mut().filter(|span| is_suspect(span)) {
        let by_id = by_id.get_or_insert_with(|| given.spans.iter().map(|span| (id(span), span)).collect());
        let Some(given) = by_id.get(&id(span)) else { continue };
        restore_time(given.start_ns, &mut span.start_ns);
        restore_time(given.end_ns, &mut span.end_ns);
        restore_attributes(&given.attributes, &mut span.attributes);
        restore_events(&given.events, &mut span.events);
        for (given, link) in given.links.iter().zip(&mut span.links) {
            restore_attributes(&given.attributes, &mut link.attributes);
        }
    }
}

fn id(span: &Span) -> (Vec<u8>, Vec<u8>) {
    (span.trace_id.clone(), span.span_id.clone())
}

/// Whether there may be something to put right: of a span that was not rounded that is rarely so.
fn is_suspect(span: &Span) -> bool {
    let in_attributes = |attributes: &[Attribute]| {
        attributes
            .iter()
            .any(|attribute| matches!(attribute.value, AttributeValue::Int(int) if is_rounded_int(int)))
    };
    is_rounded(span.start_ns)
        || is_rounded(span.end_ns)
        || in_attributes(&span.attributes)
        || span.events.iter().any(|event| is_rounded(event.time_ns) || in_attributes(&event.attributes))
        || span.links.iter().any(|link| in_attributes(&link.attributes))
}

/// Whether this is a double that another integer may have been rounded to. All 53 bits of a double are its first ones.
fn is_rounded(value: u64) -> bool {
    value >= EXACT_MAX && u64::BITS - value.leading_zeros() - value.trailing_zeros() <= f64::MANTISSA_DIGITS
}

/// The same for one with a sign. The largest stands for the double above it, which is none of 64 bits.
fn is_rounded_int(value: i64) -> bool {
    value == i64::MAX || is_rounded(value.unsigned_abs())
}

#[expect(clippy::cast_precision_loss, reason = "the loss is what is looked for")]
fn restore_time(given: u64, answered: &mut u64) {
    if is_rounded(*answered) && *answered as f64 == given as f64 {
        *answered = given;
    }
}

#[expect(clippy::cast_precision_loss, reason = "the loss is what is looked for")]
fn restore_attributes(given: &[Attribute], answered: &mut [Attribute]) {
    for attribute in answered {
        let AttributeValue::Int(answered) = &mut attribute.value else { continue };
        if !is_rounded_int(*answered) {
            continue;
        }
        let was = given.iter().find_map(|given| match given.value {
            AttributeValue::Int(int) if given.key == attribute.key && int as f64 == *answered as f64 => {
                Some(int)
            }
            _ => None,
        });
        *answered = was.unwrap_or(*answered);
    }
}

/// Events have no names of their own; what is taken for one is at the same place, or one of the same kind.
fn restore_events(given: &[Event], answered: &mut [Event]) {
    for (index, event) in answered.iter_mut().enumerate() {
        let same = |given: &&Event| {
            let mut time = event.time_ns;
            restore_time(given.time_ns, &mut time);
            given.name == event.name && time == given.time_ns
        };
        let found = given.get(index).filter(same).or_else(|| given.iter().find(same));
        if let Some(found) = found {
            restore_time(found.time_ns, &mut event.time_ns);
            restore_attributes(&found.attributes, &mut event.attributes);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bindings::exports::stormglass::plugin::span_processor::{Scope, SpanKind, StatusCode};

    fn int(key: &str, value: i64) -> Attribute {
        Attribute { key: key.to_owned(), value: AttributeValue::Int(value) }
    }

    fn span(id: u8, times: (u64, u64), ints: &[i64], events: &[(u64, i64)]) -> Span {
        let event = |(time_ns, value): &(u64, i64)| Event {
            time_ns: *time_ns,
            name: "tick".to_owned(),
            attributes: vec![int("n", *value)],
        };
        Span {
            trace_id: vec![7; 16],
            span_id: vec![id; 8],
            parent_span_id: Vec::new(),
            trace_state: String::new(),
            name: "work".to_owned(),
            kind: SpanKind::Internal,
            start_ns: times.0,
            end_ns: times.1,
            status: StatusCode::Unset,
            status_message: String::new(),
            attributes: ints.iter().enumerate().map(|(at, value)| int(&format!("i{at}"), *value)).collect(),
            events: events.iter().map(event).collect(),
            links: Vec::new(),
            trace_flags: 0,
            resource_index: 0,
            scope_index: 0,
        }
    }

    fn spans(spans: Vec<Span>, ints: &[i64]) -> Spans {
        let attributes: Vec<_> = ints.iter().map(|value| int("r", *value)).collect();
        let scope = Scope { name: "s".to_owned(), version: String::new(), attributes: attributes.clone() };
        Spans { resources: vec![attributes], scopes: vec![scope], spans }
    }

    /// What a guest without integers of 64 bits hands back.
    fn rounded(mut spans: Spans) -> Spans {
        let round = |attributes: &mut Vec<Attribute>| {
            for attribute in attributes {
                if let AttributeValue::Int(int) = &mut attribute.value {
                    *int = *int as f64 as i64;
                }
            }
        };
        spans.resources.iter_mut().for_each(round);
        spans.scopes.iter_mut().for_each(|scope| round(&mut scope.attributes));
        for span in &mut spans.spans {
            span.start_ns = span.start_ns as f64 as u64;
            span.end_ns = span.end_ns as f64 as u64;
            round(&mut span.attributes);
            for event in &mut span.events {
                event.time_ns = event.time_ns as f64 as u64;
                round(&mut event.attributes);
            }
        }
        spans
    }

    const NOW: u64 = 1_700_000_000_123_456_789;

    #[test]
    fn what_a_guest_changed_stays_as_it_says() {
        let given = spans(vec![span(1, (NOW, NOW + 1_001), &[i64::MAX - 5, 7], &[(NOW + 5, 3)])], &[]);
        let mut changed = rounded(given.clone());
        changed.spans[0].start_ns += 256;
        changed.spans[0].attributes[0].value = AttributeValue::Int(1 << 60);
        changed.spans[0].attributes.push(int("new", (i64::MAX - 5) as f64 as i64));
        changed.spans[0].events[0].name = "tock".to_owned();
        let mut restored = changed.clone();
        restore(&given, &mut restored);
        let (changed, restored, given) = (&changed.spans[0], &restored.spans[0], &given.spans[0]);
        assert_eq!(restored.start_ns, changed.start_ns);
        assert_eq!(restored.end_ns, given.end_ns);
        let ints = |span: &Span| -> Vec<i64> {
            let int = |attribute: &Attribute| match attribute.value {
                AttributeValue::Int(int) => int,
                _ => panic!("only integers are here"),
            };
            span.attributes.iter().map(int).collect()
        };
        assert_eq!(ints(restored), [1 << 60, 7, i64::MAX]);
        assert_eq!(restored.events[0].time_ns, changed.events[0].time_ns, "another event");
    }

    proptest! {
        #[test]
        fn what_was_left_alone_is_what_was_given(
            times in prop::collection::vec((0..u64::MAX >> 1, 0..u64::MAX >> 1, any::<i64>()), 1..8),
            moved in 0..8_usize,
        ) {
            let made = times.iter().enumerate().map(|(at, (start, end, int))| {
                // Close to one another, so that several are rounded to the same.
                let events = [(*start, *int), (start + 1, int ^ 1), (NOW + *end % 512, 1)];
                span(u8::try_from(at).unwrap(), (*start, *end), &[*int, i64::MIN, 0], &events)
            });
            let given = spans(made.collect(), &[times[0].2]);
            // In another order, and not all of them.
            let arrange = |mut spans: Spans| {
                let moved = moved % spans.spans.len();
                spans.spans.rotate_left(moved);
                spans.spans.truncate(5);
                spans
            };
            let (expected, mut exact) = (arrange(given.clone()), arrange(given.clone()));
            let mut answered = arrange(rounded(given.clone()));
            restore(&given, &mut answered);
            prop_assert_eq!(format!("{answered:?}"), format!("{expected:?}"));
            restore(&given, &mut exact);
            prop_assert_eq!(format!("{exact:?}"), format!("{expected:?}"));
        }
    }
}
