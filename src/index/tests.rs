use std::collections::BTreeMap;

use super::*;
use crate::Error;

/// Numbers that look random, from -1 to 1.
fn noise(seed: &mut u64) -> f32 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 40) as f32 / (1 << 23) as f32 - 1.0
}

fn rows(count: usize, features: usize) -> Vec<Vec<f32>> {
    let mut seed = 7;
    (0..count).map(|_| (0..features).map(|_| noise(&mut seed)).collect()).collect()
}

/// The bytes of an index of `rows`, which are named by their numbers.
fn file(rows: &[Vec<f32>]) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("index");
    let mut writer = Writer::create(&path, rows[0].len()).expect("begun");
    for (number, row) in rows.iter().enumerate() {
        writer.push(number.to_string().as_bytes(), row).expect("pushed");
    }
    writer.finish(&BTreeMap::from([("key".to_owned(), "value".to_owned())]), false).expect("written");
    std::fs::read(&path).expect("read")
}

fn index(rows: &[Vec<f32>]) -> Index {
    Index::from_vec(file(rows)).expect("just written")
}

/// What a search must answer: the products of all rows, in f64, in order.
fn brute(index: &Index, query: &[f32], top: usize) -> Vec<Hit> {
    let query = unit(query).expect("finite");
    let of = |row| Hit { row, similarity: product(&query, index.row(row)) };
    let mut hits: Vec<Hit> = (0..index.len()).map(of).collect();
    hits.sort_by(|a, b| b.similarity.total_cmp(&a.similarity).then(a.row.cmp(&b.row)));
    hits.truncate(top);
    hits
}

#[test]
fn what_is_written_is_read() {
    let rows = rows(5, 33);
    let index = index(&rows);
    assert_eq!((index.len(), index.features(), index.metadata()["key"].as_str()), (5, 33, "value"));
    for (number, row) in rows.iter().enumerate() {
        assert_eq!(index.row(number), unit(row).expect("finite"));
        assert_eq!(index.name(number), number.to_string().as_bytes());
    }
}

#[test]
fn a_search_is_exact_and_in_order_for_any_number_of_threads() {
    // Rows that are the same, and such that differ by less than sums in f32 can tell, in different places of the kernel.
    let mut all = rows(5000, 64);
    for at in [17, 18, 1023, 2048, 4999] {
        all[at] = all[3].clone();
    }
    for at in (100..4900).step_by(37) {
        all[at] = all[3].iter().enumerate().map(|(i, x)| x * (1.0 + ((at * i) % 13) as f32 * 1e-6)).collect();
    }
    let index = index(&all);
    let mut seed = 99;
    let other: Vec<f32> = (0..64).map(|_| noise(&mut seed)).collect();
    for query in [&all[3], &all[77], &other] {
        for top in [1, 2, 6, 7, 140, 4999, 5000, 9000] {
            let expected = brute(&index, query, top);
            for threads in [1, 2, 5] {
                assert_eq!(index.search(query, top, threads).expect("found"), expected, "{top} on {threads}");
            }
        }
    }
    assert!(index.search(&other, 0, 2).expect("nothing").is_empty());
}

#[test]
fn a_query_that_is_no_row_is_refused() {
    let index = index(&rows(3, 8));
    assert!(matches!(
        index.search(&[1.0; 7], 1, 1),
        Err(Error::Index(IndexError::RowLength { expected: 8, found: 7 }))
    ));
    assert!(matches!(index.search(&[f32::NAN; 8], 1, 1), Err(Error::Index(IndexError::QueryNotFinite))));
    assert_eq!(index.search(&[0.0; 8], 2, 1).expect("found").iter().map(|h| h.row).collect::<Vec<_>>(), [0, 1]);
}

/// The sums' error is within what the margin assumes, where terms cancel and where they do not.
#[test]
fn the_bound_holds() {
    for features in [1, 7, 64, 1024] {
        let rows = rows(200, features);
        let mut positive = rows.clone();
        positive.iter_mut().flatten().for_each(|value| *value = value.abs());
        for rows in [rows, positive] {
            let index = index(&rows);
            let mut products = vec![0.0; rows.len()];
            for query in 0..20 {
                search::Products::new(&index, rows.len()).run(index.row(query), index.rows(), &mut products);
                for (row, &sum) in products.iter().enumerate() {
                    let error = (f64::from(sum) - product(index.row(query), index.row(row))).abs();
                    assert!(error <= f64::from(bound(features)), "{features}: {error:e}");
                }
            }
        }
    }
}

#[test]
fn near_duplicates_are_what_all_pairs_say() {
    let mut all = rows(700, 16);
    for (to, from) in [(5, 600), (601, 600), (699, 0), (350, 349)] {
        all[to] = all[from].iter().enumerate().map(|(i, x)| x + ((to + i) % 3) as f32 * 0.01).collect();
    }
    let index = index(&all);
    let similar = |a: usize, b: usize| product(index.row(a), index.row(b));
    for similarity in [0.7, 0.99, 0.999_99] {
        let mut parents: Vec<usize> = (0..all.len()).collect();
        let mut best = vec![f64::NEG_INFINITY; all.len()];
        for (a, b) in (0..all.len()).flat_map(|b| (0..b).map(move |a| (a, b))) {
            let is = similar(a, b);
            if is >= similarity {
                let (from, to) = (parents[a].max(parents[b]), parents[a].min(parents[b]));
                parents.iter_mut().filter(|parent| **parent == from).for_each(|parent| *parent = to);
                best[a] = best[a].max(is);
                best[b] = best[b].max(is);
            }
        }
        let of = |first: usize| (0..all.len()).filter(|&row| parents[row] == first).collect::<Vec<_>>();
        let expected: Vec<Vec<usize>> = (0..all.len()).map(of).filter(|group| group.len() > 1).collect();
        for threads in [1, 3] {
            let groups = index.near_duplicates(similarity, threads, |_, _| true).expect("finite").expect("not ended");
            let found: Vec<Vec<usize>> = groups.iter().map(|group| group.iter().map(|hit| hit.row).collect()).collect();
            assert_eq!(found, expected, "{similarity}");
            for hit in groups.iter().flatten() {
                // Which of two is the more alike is told by sums in f32.
                assert!((hit.similarity - best[hit.row]).abs() < 1e-6, "{similarity}: {hit:?}");
            }
        }
    }
    assert!(index.near_duplicates(0.9, 2, |_, _| false).expect("finite").is_none());
}

#[test]
fn damaged_files_are_refused_in_words() {
    let whole = file(&rows(3, 5));
    let refused = |bytes: Vec<u8>| match Index::from_vec(bytes) {
        Err(Error::Index(error)) => error,
        other => panic!("{other:?}"),
    };
    for len in 0..whole.len() {
        refused(whole[..len].to_vec());
    }
    for at in 0..whole.len() {
        for bit in [1, 0x80] {
            let mut bytes = whole.clone();
            bytes[at] ^= bit;
            refused(bytes);
        }
    }
    let footer = whole.len() - 64;
    let with = |at: usize, bytes: &[u8]| {
        let mut changed = whole.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        refused(changed)
    };
    assert!(matches!(with(0, b"G"), IndexError::NoIndex));
    assert!(matches!(with(footer, &[2]), IndexError::Version { found: 2, known: 1 }));
    assert!(matches!(with(footer + 4, &[0]), IndexError::NoFeatures));
    assert!(matches!(with(footer + 4, &u32::MAX.to_le_bytes()), IndexError::TooMany { what: "features", .. }));
    assert!(matches!(with(footer + 8, &u64::MAX.to_le_bytes()), IndexError::TooMany { what: "pictures", .. }));
    assert!(matches!(with(footer + 8, &u64::from(u32::MAX).to_le_bytes()), IndexError::Truncated { .. }));
    assert!(matches!(with(footer + 16, &u64::MAX.to_le_bytes()), IndexError::TooMany { what: "bytes of names", .. }));
    assert!(matches!(with(footer + 24, &u64::MAX.to_le_bytes()), IndexError::TooMany { .. }));
    assert!(matches!(with(footer + 8, &[2]), IndexError::TooLong { .. }));
    assert!(matches!(with(64 + 60, &[7]), IndexError::Padding { offset: 124, value: 7 }));
    assert!(matches!(with(128, &[9]), IndexError::NameEnd { row: 0, end: 9, .. }));
    assert!(matches!(with(144, &[2]), IndexError::NameEnd { row: 2 | 3, .. }));
    let metadata = refused({
        let mut bytes = whole.clone();
        bytes[footer - 1] = b'x';
        bytes
    });
    assert!(matches!(metadata, IndexError::Metadata { .. }));
    assert!(matches!(with(64, &[1]), IndexError::HashMismatch { part: "rows", .. }));
    assert!(matches!(with(152, b"9"), IndexError::HashMismatch { part: "names and metadata", .. }));
}

/// A mapped file's rows are not looked at when it is opened.
#[test]
#[cfg(all(feature = "mmap", not(miri)))]
#[allow(unsafe_code, reason = "no other process knows the file")]
fn rows_that_are_no_numbers_are_found_by_a_search() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("index");
    let mut bytes = file(&rows(40, 5));
    bytes[64 + 4 * (5 * 33 + 2)..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&path, bytes).expect("written");
    // SAFETY: nobody else knows the file.
    let index = unsafe { Index::map(&path) }.expect("its rows are not looked at");
    assert!(matches!(index.search(&[1.0; 5], 3, 2), Err(Error::Index(IndexError::NotFinite { row: 33 }))));
    let refused = index.near_duplicates(0.9, 2, |_, _| true);
    assert!(matches!(refused, Err(Error::Index(IndexError::NotFinite { row: 33 }))));
    assert!(matches!(index.verify(), Err(Error::Index(IndexError::HashMismatch { .. }))));
}

#[test]
fn a_writer_refuses_what_no_row_can_be() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("index");
    assert!(matches!(Writer::create(&path, 0), Err(Error::Index(IndexError::NoFeatures))));
    assert!(matches!(Writer::create(&path, 1 << 17), Err(Error::Index(IndexError::TooMany { .. }))));
    let mut writer = Writer::create(&path, 2).expect("begun");
    assert!(matches!(writer.push(b"", &[1.0]), Err(Error::Index(IndexError::RowLength { .. }))));
    assert!(matches!(writer.push(b"", &[1.0, f32::INFINITY]), Err(Error::Index(IndexError::NotFinite { row: 0 }))));
    writer.push(b"", &[0.0, 0.0]).expect("zeros are a row");
    writer.push(b"tiny", &[1e-45, 0.0]).expect("they have a direction");
    writer.push(b"large", &[f32::MAX, f32::MAX]).expect("they have a direction");
    let metadata = BTreeMap::from([("k".to_owned(), "v".repeat(1 << 20))]);
    assert!(matches!(writer.finish(&metadata, false), Err(Error::Index(IndexError::TooMany { .. }))));
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

#[test]
fn an_index_without_pictures_finds_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("index");
    Writer::create(&path, 4).expect("begun").finish(&BTreeMap::new(), false).expect("written");
    let index = Index::open(&path).expect("just written");
    assert!(index.is_empty() && index.search(&[1.0; 4], 3, 2).expect("nothing").is_empty());
    assert!(index.near_duplicates(0.9, 2, |_, _| true).expect("nothing").expect("not ended").is_empty());
}
