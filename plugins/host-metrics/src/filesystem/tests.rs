//! The mount table's escapes.

use super::*;

#[test]
fn escapes_are_undone() {
    for (field, text) in [
        ("/", "/"),
        (r"/mnt/with\040space", "/mnt/with space"),
        (r"\134\011", "\\\t"),
        (r"\", r"\"),
        (r"\04", r"\04"),
        (r"\999x", r"\999x"),
        (r"\303\251", r"\303\251"),
        ("é\\é", "é\\é"),
    ] {
        assert_eq!(unescape(field), text, "{field}");
    }
}

#[test]
fn a_mount_is_read_only_by_its_own_option() {
    let parse = |line| Mount::parse(line).map(|mount| (mount.mount_point, mount.read_only));
    assert_eq!(parse("/dev/sda1 / ext4 rw,errors=remount-ro 0 0"), Some(("/".into(), false)));
    assert_eq!(parse("/dev/sda2 /boot vfat ro,relatime 0 0"), Some(("/boot".into(), true)));
    assert_eq!(parse("half a line"), None);
}
