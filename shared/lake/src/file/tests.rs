use std::io::{BufRead, Write as _};
use std::process::{Child, Command, Stdio};

use super::*;
use crate::conformance;
use crate::error::Error;
use crate::paths;

fn object(name: &str) -> ObjectPath {
    paths::inbox::<crate::Events>("acme", name)
}

async fn put(store: &FileStore, name: &str, bytes: &'static [u8]) -> PutIfAbsent {
    store.put_if_absent(&object(name), Bytes::from_static(bytes), &[]).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passes_the_conformance_suite() {
    let dirs = tempfile::tempdir().unwrap();
    let count = std::sync::atomic::AtomicUsize::new(0);
    conformance::run(async || {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Arc::new(FileStore::open(dirs.path().join(number.to_string())).unwrap()) as Arc<dyn ObjectStore>
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_stores_on_one_directory_pass_the_shared_cases() {
    let dir = tempfile::tempdir().unwrap();
    let one = Arc::new(FileStore::open(dir.path()).unwrap());
    let two = Arc::new(FileStore::open(dir.path()).unwrap());
    conformance::run_shared(one, two).await;
}

#[tokio::test]
async fn temporary_files_are_not_listed_and_stale_ones_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    let store = FileStore::open(dir.path()).unwrap();
    let create_temp_file = |name: &str, age_secs: u64| {
        let path = dir.path().join(".tmp").join(name);
        let file = std::fs::File::create(&path).unwrap();
        let created_at = dir.path().metadata().unwrap().modified().unwrap();
        file.set_modified(created_at - std::time::Duration::from_secs(age_secs)).unwrap();
        path
    };
    let (fresh, stale) = (create_temp_file("unfinished-a", 60), create_temp_file("unfinished-b", 7_200));
    let foreign = create_temp_file("else", 7_200);
    std::fs::write(dir.path().join(".DS_Store"), b"x").unwrap();
    assert!(store.list("").await.unwrap().is_empty());
    drop(FileStore::open(dir.path()).unwrap());
    assert!(fresh.exists() && foreign.exists() && !stale.exists());
}

#[tokio::test]
async fn writes_leave_no_temporary_files() {
    let dir = tempfile::tempdir().unwrap();
    let store = FileStore::open(dir.path()).unwrap();
    let PutIfAbsent::Written(etag) = put(&store, "a", b"one").await else {
        panic!("the object did not exist")
    };
    assert_eq!(put(&store, "a", b"two").await, PutIfAbsent::Exists);
    store.put_if_match(&object("a"), Bytes::from_static(b"three"), &etag, &[]).await.unwrap();
    assert_eq!(std::fs::read_dir(dir.path().join(".tmp")).unwrap().count(), 0);
    assert_eq!(std::fs::read(dir.path().join("inbox/org=acme/a.parquet")).unwrap(), b"three");
}

#[cfg(unix)]
#[tokio::test]
async fn objects_get_the_permissions_of_the_users_umask() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let store = FileStore::open(dir.path()).unwrap();
    put(&store, "a", b"x").await;
    std::fs::write(dir.path().join("plain"), b"x").unwrap();
    let mode = |name: &str| std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
    assert_eq!(mode("inbox/org=acme/a.parquet"), mode("plain"));
}

#[test]
fn the_error_for_a_file_in_the_way_names_the_option() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lake");
    std::fs::write(&path, b"not a directory").unwrap();
    let error = FileStore::open(&path).unwrap_err();
    assert!(matches!(error, Error::Unusable { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("lake") && text.contains("--lake"), "{text}");
}

#[cfg(unix)]
#[test]
fn the_error_for_a_read_only_directory_says_not_permitted() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o555)).unwrap();
    // The superuser can write anywhere, so the test does not apply to it.
    if std::fs::write(dir.path().join("probe"), b"").is_ok() {
        return;
    }
    let error = FileStore::open(dir.path()).unwrap_err();
    assert!(matches!(error, Error::Unusable { .. }), "{error:?}");
    assert!(error.to_string().contains("not permitted"), "{error}");
}

#[cfg(target_os = "linux")]
#[test]
fn the_error_for_a_full_disk_names_the_path() {
    let error = std::fs::File::options().write(true).open("/dev/full").and_then(|mut f| f.write_all(b"x"));
    let error = Error::from_io("write", Path::new("/lake/x"), error.unwrap_err());
    assert!(
        error.to_string().contains("the disk is full") && error.to_string().contains("/lake/x"),
        "{error}"
    );
}

const COUNTER_STEPS: u64 = 40;

fn counter() -> ObjectPath {
    object("counter")
}

async fn count_up(store: &FileStore, steps: u64) {
    for _ in 0..steps {
        conformance::increment(store, &counter()).await;
    }
}

/// Runs [`other_process`] in another process, which reads the task and the directory from its standard input.
fn start_other_process(input: &str) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "file::tests::other_process", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child
}

#[tokio::test]
#[ignore = "started by other tests as a process; does nothing without input"]
async fn other_process() {
    let mut lines = std::io::stdin().lock().lines();
    let (Some(Ok(task)), Some(Ok(dir))) = (lines.next(), lines.next()) else { return };
    let store = FileStore::open(dir).unwrap();
    match task.as_str() {
        "count" => count_up(&store, COUNTER_STEPS).await,
        "write forever" => {
            for number in 0u64.. {
                let bytes = Bytes::from(vec![number as u8; conformance::LARGE_BYTES]);
                store.put_if_absent(&object(&number.to_string()), bytes, &[]).await.unwrap();
            }
        }
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_do_not_lose_writes() {
    let dir = tempfile::tempdir().unwrap();
    let store = FileStore::open(dir.path()).unwrap();
    put(&store, "counter", b"0").await;
    let mut child = start_other_process(&format!("count\n{}\n", dir.path().display()));
    count_up(&store, COUNTER_STEPS).await;
    assert!(child.wait().unwrap().success());
    let total = store.get(&counter()).await.unwrap().unwrap();
    assert_eq!(total.bytes, (2 * COUNTER_STEPS).to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_leaves_only_complete_objects() {
    let dir = tempfile::tempdir().unwrap();
    let store = FileStore::open(dir.path()).unwrap();
    let mut child = start_other_process(&format!("write forever\n{}\n", dir.path().display()));
    while store.list("inbox/").await.unwrap().len() < 20 {
        assert_eq!(child.try_wait().unwrap(), None, "the other process exited");
        tokio::task::yield_now().await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    for listed in store.list("").await.unwrap() {
        let object = store.get(&listed.path).await.unwrap().unwrap();
        assert_eq!(object.bytes.len(), conformance::LARGE_BYTES);
        assert!(object.bytes.iter().all(|byte| *byte == object.bytes[0]));
    }
    // This would block if the killed process still held the lock.
    store.delete(&object("0")).await.unwrap();
}

#[tokio::test]
async fn segments_of_the_audit_log_are_read_only_files() {
    let dir = tempfile::tempdir().unwrap();
    let store = FileStore::open(dir.path()).unwrap();
    let [segment, batch] = [paths::audit_segment("acme", 1), paths::inbox::<crate::Events>("acme", "ab")];
    for path in [&segment, &batch] {
        store.put_if_absent(path, Bytes::from_static(b"x"), &[]).await.unwrap();
    }
    let is_read_only = |path: &ObjectPath| {
        std::fs::metadata(dir.path().join(path.as_str())).unwrap().permissions().readonly()
    };
    assert_eq!([is_read_only(&segment), is_read_only(&batch)], [true, false]);
}
