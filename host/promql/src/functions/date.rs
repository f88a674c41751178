//! Parts of a date, in UTC. Days are counted with the civil calendar algorithm of Howard Hinnant
//! ("chrono-compatible low-level date algorithms").

const DAY_SECONDS: i64 = 86_400;

/// The function of that name, from seconds since the epoch.
pub(crate) fn find(name: &str) -> Option<fn(i64) -> f64> {
    Some(match name {
        "minute" => |secs| (secs.rem_euclid(3600) / 60) as f64,
        "hour" => |secs| (secs.rem_euclid(DAY_SECONDS) / 3600) as f64,
        "day_of_week" => |secs| (secs.div_euclid(DAY_SECONDS) + 4).rem_euclid(7) as f64,
        "day_of_month" => |secs| civil(secs).2 as f64,
        "day_of_year" => |secs| {
            let (year, _, _) = civil(secs);
            (secs.div_euclid(DAY_SECONDS) - days_from_civil(year, 1, 1) + 1) as f64
        },
        "days_in_month" => |secs| {
            let (year, month, _) = civil(secs);
            let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
            (days_from_civil(next_year, next_month, 1) - days_from_civil(year, month, 1)) as f64
        },
        "month" => |secs| civil(secs).1 as f64,
        "year" => |secs| civil(secs).0 as f64,
        _ => return None,
    })
}

/// Whole seconds since the epoch. What has none, and what does not fit, stands for the end of time, as it does in
/// Prometheus on most machines.
pub(crate) fn seconds(value: f64) -> i64 {
    let whole = value as i64;
    if value.is_nan() || whole == i64::MIN { i64::MAX } else { whole }
}

/// The time as `2006-01-02T15:04:05Z`.
pub(crate) fn rfc3339(secs: i64) -> String {
    let (year, month, day) = civil(secs);
    let of_day = secs.rem_euclid(DAY_SECONDS);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn civil(secs: i64) -> (i64, i64, i64) {
    let days = secs.div_euclid(DAY_SECONDS) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_survive_the_round_trip() {
        for days in (-800_000..800_000).step_by(997) {
            let (year, month, day) = civil(days * DAY_SECONDS);
            assert_eq!(days_from_civil(year, month, day), days);
        }
        assert_eq!(civil(951_782_400), (2000, 2, 29));
        assert_eq!(rfc3339(951_782_400 + 3_723), "2000-02-29T01:02:03Z");
    }
}
