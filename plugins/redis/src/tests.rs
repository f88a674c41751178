//! A server that is played, byte by byte.

use stormglass_sdk::testing::{self, Host, Script};

use super::*;

const INFO: &str = "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\nprocess_id:7\r\nuptime_in_seconds:100\r\n\
tcp_port:6379\r\n\r\n# Clients\r\nconnected_clients:3\r\n# Memory\r\nused_memory:1048576\r\nmaxmemory:0\r\n\
mem_fragmentation_ratio:1.25\r\n# Persistence\r\nrdb_last_bgsave_status:ok\r\naof_last_write_status:err\r\n\
# Stats\r\ntotal_commands_processed:42\r\nlatest_fork_usec:1500\r\n# Replication\r\nrole:master\r\nconnected_slaves:1\r\n\
slave0:ip=10.0.0.2,port=6380,state=online,offset=99,lag=1\r\n# Commandstats\r\n\
cmdstat_config|get:calls=2,usec=30,usec_per_call=15.00,rejected_calls=1,failed_calls=0\r\n# Errorstats\r\n\
errorstat_WRONGPASS:count=5\r\n# Latencystats\r\nlatency_percentiles_usec_get:p50=1.003,p99.9=7.007\r\n\
# Keyspace\r\ndb0:keys=10,expires=2,avg_ttl=1500\r\n";

fn command(words: &[&str]) -> String {
    words.iter().fold(format!("*{}\r\n", words.len()), |command, word| {
        format!("{command}${}\r\n{word}\r\n", word.len())
    })
}

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

fn after_login(script: Script) -> Script {
    script
        .expect(command(&["INFO", "ALL"]))
        .answer(bulk(INFO))
        .expect(command(&["CONFIG", "GET", "*"]))
        .answer(command(&["maxclients", "10000", "requirepass", "hush"]))
        .expect(command(&["SLOWLOG", "LEN"]))
        .answer(":4\r\n")
}

fn collect(config: &str, host: Host) -> Result<Vec<String>> {
    let mut plugin: Redis = testing::init(config)?;
    let mut out = Metrics::new();
    host.now_ms(1_000_000).run(|| plugin.collect(&mut out))?;
    Ok(testing::render(&out).lines().map(str::to_owned).collect())
}

#[test]
fn info_is_told_under_the_names_of_redis_exporter() {
    let config = r#"{"address": "cache", "username": "u", "password_secret": "pw", "config_metrics": true}"#;
    let script = Script::new().expect(command(&["AUTH", "u", "hush"])).answer("+OK\r\n");
    let host = Host::new().secret("pw", "hush").connection("cache:6379", after_login(script));
    let lines = collect(config, host).unwrap();
    for expected in [
        "redis_up 1",
        "redis_exporter_last_scrape_error{err=\"\"} 0",
        "redis_config_maxclients 10000",
        "redis_config_key_value{key=\"maxclients\",value=\"10000\"} 1",
        "redis_max_clients 10000",
        "redis_connected_clients 3",
        "redis_memory_used_bytes 1048576",
        "redis_memory_max_bytes 0",
        "redis_mem_fragmentation_ratio 1.25",
        "redis_rdb_last_bgsave_status 1",
        "redis_aof_last_write_status 0",
        "redis_commands_processed_total 42",
        "redis_latest_fork_seconds 0.0015",
        "redis_start_time_seconds 900",
        "redis_slowlog_length 4",
        "redis_connected_slave_lag_seconds{slave_ip=\"10.0.0.2\",slave_port=\"6380\",slave_state=\"online\"} 1",
        "redis_commands_total{cmd=\"config|get\"} 2",
        "redis_commands_rejected_calls_total{cmd=\"config|get\"} 1",
        "redis_errors_total{err=\"WRONGPASS\"} 5",
        "redis_latency_percentiles_usec{cmd=\"get\",quantile=\"0.999\"} 7.007",
        "redis_db_keys{db=\"db0\"} 10",
        "redis_db_avg_ttl_seconds{db=\"db0\"} 1.5",
    ] {
        assert!(lines.iter().any(|line| line == expected), "{expected} is not in {lines:#?}");
    }
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("redis_instance_info{role=\"master\",redis_version=\"7.0.15\""))
    );
    assert!(!lines.iter().any(|line| line.contains("hush")), "no secret is told");
}

#[test]
fn a_server_that_refuses_is_an_answer_and_what_is_denied_an_error() {
    let script = Script::new().expect(command(&["AUTH", "x"])).answer("-WRONGPASS no\r\n");
    let host = Host::new().secret("pw", "x").connection("cache:1", script);
    let lines = collect(r#"{"address": "cache:1", "password_secret": "pw"}"#, host).unwrap();
    assert_eq!(lines, ["redis_up 0", "redis_exporter_last_scrape_error{err=\"AUTH: WRONGPASS no\"} 1"]);
    let error = collect(r#"{"address": "cache:1"}"#, Host::new()).unwrap_err();
    assert_eq!(error.to_string(), "net: cache:1 is not granted");
    let error = collect(r#"{"address": "cache:x"}"#, Host::new()).unwrap_err();
    assert_eq!(error.to_string(), "\"cache:x\" is no host:port");
}

#[test]
fn no_bytes_make_the_protocol_panic() {
    let mut random = 7_u32;
    for length in 0..400 {
        let bytes: Vec<u8> = (0..length)
            .map(|_| {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                b"*$+-:0123456789\r\n\xffa"[(random >> 16) as usize % 19]
            })
            .collect();
        let host =
            Host::new().connection("c:1", Script::new().expect(command(&["INFO", "ALL"])).answer(bytes));
        // Whatever comes of it, it comes to an end.
        let _ = collect(r#"{"address": "c:1"}"#, host);
    }
    for text in ["*99999999\r\n", "$99999999999\r\n", "$x\r\n", "?\r\n", "$5\r\nab"] {
        let host =
            Host::new().connection("c:1", Script::new().expect(command(&["INFO", "ALL"])).answer(text));
        let lines = collect(r#"{"address": "c:1"}"#, host).unwrap();
        assert_eq!(lines[0], "redis_up 0", "{text:?}");
    }
}
