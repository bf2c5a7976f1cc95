//! No e-mail address and no token is stored or printed: in the lake, the store, the logs and errors.

use std::collections::BTreeSet;
use std::path::Path;

use gam_tests::github::{Double, Fault, TOKEN, generated};
use gam_tests::program::{RunResult, Sandbox};
use parquet::file::reader::{FileReader, SerializedFileReader};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row, ValueRef};

use gam_tests::support::{SINCE, batches, files, runtime};

/// Texts that must appear nowhere.
struct Secrets(BTreeSet<String>);

impl Secrets {
    #[track_caller]
    fn assert_not_in(&self, location: &str, text: &str) {
        let text = text.to_lowercase();
        for secret in &self.0 {
            assert!(!text.contains(&secret.to_lowercase()), "{secret} is in {location}");
        }
    }
}

/// Returns every row and the footer of a Parquet file as text.
pub(crate) fn parquet_text(path: &Path) -> String {
    let file = std::fs::File::open(path).expect("a file");
    let reader = SerializedFileReader::new(file).expect("a Parquet file");
    let mut text = format!("{:?}", reader.metadata());
    for row in reader.get_row_iter(None).expect("rows") {
        text.push_str(&row.expect("a row").to_string());
        text.push('\n');
    }
    text
}

/// Returns every value of every table of the store as text.
pub(crate) async fn store_text(path: &Path) -> String {
    let options = SqliteConnectOptions::new().filename(path);
    let mut connection: SqliteConnection = options.connect().await.expect("the store opens");
    let names: Vec<String> = sqlx::query_scalar("SELECT name FROM sqlite_schema WHERE type = 'table'")
        .fetch_all(&mut connection)
        .await
        .expect("the tables' names");
    let mut text = names.join(" ");
    for name in names {
        let query = AssertSqlSafe(format!("SELECT * FROM \"{name}\""));
        for row in sqlx::query(query).fetch_all(&mut connection).await.expect("the rows") {
            for column in 0..row.len() {
                if !row.try_get_raw(column).expect("a value").is_null() {
                    let bytes = row.try_get_unchecked::<Vec<u8>, _>(column).expect("its bytes");
                    text.push_str(&String::from_utf8_lossy(&bytes));
                    text.push(' ');
                }
            }
        }
    }
    connection.close().await.expect("the store closes");
    text
}

#[test]
fn e_mail_addresses_and_tokens_are_never_stored_or_printed() {
    let world = generated::world(40);
    let mut secrets = Secrets(world.emails());
    secrets.0.insert(TOKEN.to_owned());
    let times = generated::times(40, 4);
    let double = Double::start(world.clone(), times[0]);
    let sandbox = Sandbox::with_github(&double).with_variable("RUST_LOG", "trace");
    let copies = sandbox.dir().join("copies");
    std::fs::create_dir(&copies).expect("a directory");
    let assert_clean = |result: &RunResult| {
        secrets.assert_not_in("stdout", &result.text());
        secrets.assert_not_in("stderr", &result.stderr);
    };
    double.plan_fault("PullRequests", 1, 1, Fault::Truncated);
    double.plan_fault("Commits", 1, 1, Fault::NullNode);
    for (step, now) in times.iter().enumerate() {
        double.set_now(*now);
        let format = ["pretty", "json"][step % 2];
        let collected =
            sandbox.run(&["collect", &world.org, "--since", SINCE, "--log-format", format]).expect_status(0);
        assert!(collected.stderr.contains("TRACE"), "the log has the highest level");
        assert_clean(&collected);
        for batch in batches(&sandbox) {
            let name = format!("{step}-{}", batch.file_name().expect("a name").to_string_lossy());
            std::fs::copy(&batch, copies.join(name)).expect("a copy");
        }
        let inbox = sandbox.lake_dir().join("inbox/org=acme-works");
        std::fs::create_dir_all(&inbox).expect("the inbox");
        if step == 1 {
            // Half of a batch. The rejected copy must not contain secrets either.
            let bytes = std::fs::read(&files(&copies)[0]).expect("a batch");
            std::fs::write(inbox.join(format!("{}.parquet", "ab".repeat(32))), &bytes[..bytes.len() / 2])
                .expect("half");
        }
        assert_clean(&sandbox.run(&["aggregate", "--log-format", format]).expect_status(if step == 1 {
            3
        } else {
            0
        }));
    }
    let rejected = Sandbox::with_github(&double)
        .with_variable("RUST_LOG", "trace")
        .with_variable("GITHUB_TOKEN", "ghp_another0123456789");
    let failure = rejected.run(&["collect", &world.org]).expect_status(1);
    assert!(!failure.stderr.contains("ghp_another0123456789"), "{}", failure.stderr);
    for args in [
        &["show", "Acme-Works", "--since", SINCE, "--until", "2024-05-01"][..],
        &["export", "acme-works"],
        &["doctor"],
    ] {
        let run = sandbox.run(args);
        assert_clean(&run);
        assert!(!run.stdout.is_empty());
    }
    let server = sandbox.serve();
    gam_tests::answers::assert_matches_reference(
        server.address(),
        &world,
        times[3],
        &gam_tests::support::full_range(),
    );
    secrets.assert_not_in("the server's log", &server.stop());

    let (mut table_count, mut rows) = (0, String::new());
    for file in files(sandbox.dir()) {
        let bytes = std::fs::read(&file).expect("its bytes");
        secrets.assert_not_in(&file.display().to_string(), &String::from_utf8_lossy(&bytes));
        let is_rejected = file.to_string_lossy().contains("/rejected/");
        if file.extension().is_some_and(|extension| extension == "parquet") && !is_rejected {
            table_count += 1;
            rows.push_str(&parquet_text(&file));
        }
    }
    assert!(table_count > 8 && rows.contains("commit:") && rows.contains("co_authors") && rows.contains('~'));
    assert_eq!(files(&sandbox.lake_dir().join("rejected")).len(), 1);
    secrets.assert_not_in("the tables", &rows);
    let stored = runtime().block_on(store_text(&sandbox.data_dir().join("store.sqlite")));
    assert!(stored.contains("Ann") && stored.contains("cleo-x"), "the store has names");
    secrets.assert_not_in("the store", &stored);
}
