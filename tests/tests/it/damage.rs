//! Damaged files and full disks. Damaged batches are rejected, damaged snapshots are reported, and saved data
//! stays valid.

use std::process::Command;

use gam_tests::answers::{assert_matches_reference, assert_same_answers};
use gam_tests::github::{Double, generated};
use gam_tests::program::{Sandbox, binary, run_to_end};

use gam_tests::support::{SINCE, backfilled, batches, fetch_answers, files, full_range, settled_at};

#[test]
fn a_damaged_batch_is_rejected_and_the_others_are_aggregated() {
    let (world, double, sandbox) = backfilled(30);
    let before = fetch_answers(&sandbox, &world, settled_at());
    sandbox.run(&["collect", &world.org, "--since", "2023-01-01"]).expect_status(0);
    let inbox = sandbox.lake_dir().join("inbox").join("org=acme-works");
    std::fs::create_dir_all(&inbox).expect("the inbox");
    let damages: [(&str, Vec<u8>); 3] = [
        ("00", Vec::new()),
        ("11", b"PAR1 this is no table PAR1".to_vec()),
        ("22", {
            let snapshot = files(&sandbox.lake_dir().join("events")).pop().expect("a snapshot");
            let mut bytes = std::fs::read(snapshot).expect("its bytes");
            bytes.truncate(bytes.len() / 2);
            bytes
        }),
    ];
    for (name, bytes) in &damages {
        std::fs::write(inbox.join(format!("{}.parquet", name.repeat(32))), bytes).expect("a batch");
    }
    let run = sandbox.run(&["aggregate"]).expect_status(3);
    assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
    assert!(batches(&sandbox).is_empty(), "the inbox is empty");
    let rejected = files(&sandbox.lake_dir().join("rejected"));
    assert_eq!(rejected.len(), damages.len());
    for (name, bytes) in &damages {
        let name = name.repeat(32);
        assert!(
            run.stderr.lines().any(|line| line.starts_with("error: ") && line.contains(&name)),
            "{}",
            run.stderr
        );
        let copy =
            rejected.iter().find(|path| path.to_string_lossy().contains(&name)).expect("the rejected batch");
        assert_eq!(&std::fs::read(copy).expect("its bytes"), bytes, "unchanged");
    }
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_same_answers(&before, &fetch_answers(&sandbox, &world, settled_at()));
    drop(double);
}

#[test]
fn a_truncated_snapshot_is_reported_with_its_fix() {
    let (world, double, sandbox) = backfilled(31);
    let before = fetch_answers(&sandbox, &world, settled_at());
    let snapshot = sandbox.lake_dir().join("events/org=acme-works/month=2024-01/snapshot.parquet");
    let content = std::fs::read(&snapshot).expect("a snapshot");
    for length in [0, 3, content.len() / 2, content.len() - 1] {
        std::fs::write(&snapshot, &content[..length]).expect("the snapshot is truncated");
        for args in [&["aggregate"][..], &["aggregate", "--rebuild"]] {
            let error = sandbox.run(args).expect_error(3);
            assert!(error.contains("month=2024-01/snapshot.parquet"), "{error}");
            assert!(error.contains("restore") && error.contains("collect"), "{error}");
        }
        assert_same_answers(&before, &fetch_answers(&sandbox, &world, settled_at()));
    }
    std::fs::write(&snapshot, &content).expect("it is restored");
    sandbox.run(&["aggregate", "--rebuild"]).expect_status(0);
    assert_same_answers(&before, &fetch_answers(&sandbox, &world, settled_at()));
    drop(double);
}

#[test]
fn a_removed_snapshot_is_collected_again() {
    let (world, _double, sandbox) = backfilled(32);
    let before = fetch_answers(&sandbox, &world, settled_at());
    std::fs::remove_file(sandbox.lake_dir().join("events/org=acme-works/month=2024-01/snapshot.parquet"))
        .expect("the snapshot is removed");
    // The checkpoints say that the month was read. Without them it is read again.
    for file in
        files(&sandbox.data_dir()).iter().filter(|file| file.to_string_lossy().contains("store.sqlite"))
    {
        std::fs::remove_file(file).expect("a file of the store");
    }
    sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_same_answers(&before, &fetch_answers(&sandbox, &world, settled_at()));
}

/// Returns a command that runs the program with a file size limit, in blocks of 512 bytes.
fn with_file_size_limit(sandbox: &Sandbox, blocks: u64, args: &[&str]) -> Command {
    let mut command = Command::new("sh");
    // Without the trap, the signal would end the program before it sees the error.
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
    command.arg("-c").arg(script).arg(binary()).args(args);
    sandbox.isolate(command)
}

#[test]
fn a_full_disk_loses_no_saved_data() {
    let world = generated::world(33);
    let double = Double::start(world.clone(), settled_at());
    let sandbox = Sandbox::with_github(&double);
    let collect = ["collect", world.org.as_str(), "--since", SINCE];
    let mut failed = 0;
    for blocks in [0, 2, 8, 24, 48, 64, 96] {
        for args in [&collect[..], &["aggregate"]] {
            let run = run_to_end(with_file_size_limit(&sandbox, blocks, args));
            if run.status != Some(0) {
                run.expect_error(1);
                failed += 1;
            }
        }
    }
    assert!(failed > 2, "the limit had no effect");
    sandbox.run(&collect).expect_status(0);
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &full_range());
    assert!(batches(&sandbox).is_empty());
}
