//! What is measured stands where it belongs.

use std::fs;

use super::*;
use crate::Product;

#[test]
fn a_table_has_a_column_per_server_and_the_latest_word() {
    let mut table = Table::default();
    table.set("size", "A", "1".to_owned());
    table.set("time", "A", "2 s".to_owned());
    table.set("size", "B", "3".to_owned());
    table.set("size", "A", "4".to_owned());
    assert_eq!(
        table.to_string(),
        "| measure | A | B |\n|---|---|---|\n| size | 4 | 3 |\n| time | 2 s |  |\n"
    );
}

#[test]
fn files_count_as_what_they_are_for() {
    let check = |product, files: &[&str], expected: [u64; 4]| {
        let folder = tempfile::tempdir().unwrap();
        for (at, file) in files.iter().enumerate() {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, vec![0; 1 << at]).unwrap();
        }
        let disk = Disk::of(product, folder.path()).unwrap();
        assert_eq!([disk.data_bytes, disk.index_bytes, disk.log_bytes, disk.other_bytes], expected);
        assert_eq!(disk.total_bytes(), expected.iter().sum::<u64>());
    };
    check(Product::Stormglass, &["wal/0", "blocks/1", "traces/a/b"], [2, 0, 1, 4]);
    check(Product::Prometheus, &["wal/0", "01AB/chunks/1", "01AB/index", "chunks_head/2"], [2, 4, 9, 0]);
    check(Product::VictoriaMetrics, &["data/small/x", "indexdb/y", "cache/z"], [1, 2, 0, 4]);
}
