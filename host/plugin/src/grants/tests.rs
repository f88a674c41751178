//! Grants under attack: links, dots, redirects, addresses.

use super::*;

fn http(grants: &[&str]) -> Grants {
    Grants { http: grants.iter().map(|text| text.parse().unwrap()).collect(), ..Grants::default() }
}

fn files(grants: &[(&Path, FileMode)]) -> Grants {
    let files =
        grants.iter().map(|(path, mode)| FileGrant { path: path.to_path_buf(), mode: *mode }).collect();
    Grants { files, ..Grants::default() }
}

fn reaches(grants: &Grants, url: &str) -> bool {
    grants.check_url(&Url::parse(url).unwrap()).is_ok()
}

#[test]
fn servers_are_granted_by_scheme_host_and_port() {
    let grants = http(&["https://api.example.com", "localhost:9090", "http://[::1]:8080", "10.0.0.1:80"]);
    for url in [
        "https://api.example.com/a?b",
        "https://API.example.com:443/",
        "http://localhost:9090/metrics",
        "https://localhost:9090/",
        "http://[::1]:8080/",
        "http://10.0.0.1/",
        "https://10.0.0.1:80/",
        "https://user:secret@api.example.com/",
    ] {
        assert!(reaches(&grants, url), "{url} was denied");
    }
    for url in [
        "http://api.example.com/",
        "https://api.example.com:8443/",
        "https://example.com/",
        "https://api.example.com.evil.org/",
        "https://api.example.com@evil.org/",
        "http://localhost/",
        "https://[::1]:8080/",
        "ftp://localhost:9090/",
    ] {
        assert!(!reaches(&grants, url), "{url} was allowed");
    }
    assert!(!reaches(&Grants::default(), "http://localhost/"));
}

#[test]
fn a_denial_names_the_server_and_keeps_its_credentials_to_itself() {
    let url = Url::parse("https://user:secret@example.org/token?key=secret").unwrap();
    let text = Grants::default().check_url(&url).unwrap_err().to_string();
    assert_eq!(text, "http: https://example.org is not granted; add it to grants.http to allow it");
}

#[test]
fn grants_of_servers_round_trip_and_say_what_is_wrong() {
    for (text, shown) in [
        ("https://api.example.com", "https://api.example.com:443"),
        ("http://Example.com/", "http://example.com:80"),
        ("host:80", "host:80"),
        ("[::1]:9", "[::1]:9"),
    ] {
        let grant: HttpGrant = text.parse().unwrap();
        assert_eq!(grant.to_string(), shown);
        assert_eq!(shown.parse::<HttpGrant>().unwrap(), grant);
    }
    for text in [
        "",
        "host",
        "ftp://host",
        "https://host/path",
        "https://u:p@host",
        "*:80",
        "host:99999",
        "[::1]",
        "https://",
    ] {
        assert!(text.parse::<HttpGrant>().is_err(), "{text:?} was accepted");
    }
}

#[test]
fn nobody_can_be_granted_metadata_services() {
    for address in [
        "169.254.169.254",
        "169.254.1.1",
        "::ffff:169.254.169.254",
        "::169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::",
        "fd00:ec2::254",
        "fe80::1",
        "100.100.100.200",
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
    ] {
        assert!(check_address(address.parse().unwrap()).is_err(), "{address} was allowed");
    }
    for address in [
        "127.0.0.1",
        "::1",
        "10.1.2.3",
        "192.168.0.1",
        "8.8.8.8",
        "fd12::1",
        "2606:4700::1111",
        "::ffff:127.0.0.1",
    ] {
        assert!(check_address(address.parse().unwrap()).is_ok(), "{address} was denied");
    }
    let grants = http(&["169.254.169.254:80", "http://[fd00:ec2::254]"]);
    assert!(!reaches(&grants, "http://169.254.169.254/latest/meta-data"));
    assert!(!reaches(&grants, "http://0xa9fea9fe/latest/meta-data"));
    assert!(!reaches(&grants, "http://[fd00:ec2::254]/"));
}

#[test]
fn paths_are_granted_by_directory_and_links_must_stay_inside() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path().canonicalize().unwrap();
    let (inside, outside) = (root.join("inside"), root.join("outside"));
    std::fs::create_dir_all(inside.join("deep")).unwrap();
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(inside.join("deep/file"), "x").unwrap();
    std::fs::write(outside.join("secret"), "x").unwrap();
    std::os::unix::fs::symlink(outside.join("secret"), inside.join("escape")).unwrap();
    std::os::unix::fs::symlink("deep/file", inside.join("link")).unwrap();
    std::os::unix::fs::symlink(&inside, root.join("alias")).unwrap();

    let grants = files(&[(&inside, FileMode::Read)]);
    assert_eq!(grants.check_path(&inside.join("link"), FileMode::Read).unwrap(), inside.join("deep/file"));
    assert!(grants.check_path(&inside, FileMode::Stat).is_ok(), "reading includes stat");
    assert_eq!(grants.check_link(&inside.join("escape"), FileMode::Read).unwrap(), inside.join("escape"));
    for path in [
        inside.join("escape"),
        outside.join("secret"),
        inside.join("../outside/secret"),
        root.join("alias/deep/file"),
        PathBuf::from("inside/deep/file"),
        PathBuf::from(format!("{}x", inside.display())),
    ] {
        let refused = grants.check_path(&path, FileMode::Read).unwrap_err();
        assert!(matches!(refused, PathRefused::Denied(_)), "{} gave {refused:?}", path.display());
    }
    let missing = grants.check_path(&inside.join("missing"), FileMode::Read).unwrap_err();
    assert!(matches!(missing, PathRefused::Io(error) if error.kind() == std::io::ErrorKind::NotFound));

    // A grant may itself be a link.
    let alias = files(&[(&root.join("alias"), FileMode::Read)]);
    assert!(alias.check_path(&root.join("alias/deep/file"), FileMode::Read).is_ok());
    // `stat` shows neither contents nor names.
    let stat = files(&[(&root, FileMode::Stat)]);
    assert!(stat.check_path(&inside, FileMode::Stat).is_ok());
    assert!(matches!(stat.check_path(&inside, FileMode::Read), Err(PathRefused::Denied(_))));
}

#[cfg(target_os = "linux")]
#[test]
fn proc_is_readable_except_for_the_secrets_of_processes() {
    let grants = files(&[(Path::new("/proc"), FileMode::Read)]);
    assert!(grants.check_path(Path::new("/proc/self/stat"), FileMode::Read).is_ok());
    for path in
        ["/proc/self/environ", "/proc/self/mem", "/proc/thread-self/environ", "/proc/self/root/etc/passwd"]
    {
        let refused = grants.check_path(Path::new(path), FileMode::Read).unwrap_err();
        assert!(matches!(refused, PathRefused::Denied(_)), "{path} gave {refused:?}");
    }
}

#[test]
fn grants_of_connections_and_names_say_what_is_wrong() {
    let shown = |text: &str| text.parse::<NetGrant>().map(|grant| grant.to_string());
    for (text, expected) in
        [("DB.Example.:5432", "db.example:5432"), ("[::1]:9", "[::1]:9"), ("10.0.0.1:1", "10.0.0.1:1")]
    {
        assert_eq!(shown(text).as_deref(), Ok(expected));
    }
    for text in ["", "host", "host:0", "host:99999", ":1", "*:1", "a b:1", "https://host:1", "host:1/x"] {
        assert!(shown(text).is_err(), "{text:?} was accepted");
    }
    for text in ["", "*", "*.", "a*.b", "*.*.b", "a..b", "a b", "a:1", "."] {
        assert!(text.parse::<DnsGrant>().is_err(), "{text:?} was accepted");
    }
    let grants: Grants = serde_json::from_str(r#"{"dns": ["*.Example.", "db.test"]}"#).unwrap();
    for (name, allowed) in [
        ("a.example", true),
        ("b.A.EXAMPLE.", true),
        ("example", false),
        ("aexample", false),
        ("db.test.", true),
        ("a.db.test", false),
        ("", false),
        (".example", false),
    ] {
        assert_eq!(grants.check_dns(name).is_ok(), allowed, "{name}");
    }
}
