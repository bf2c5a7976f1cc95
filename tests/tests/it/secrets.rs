//! No e-mail address and no token anywhere: not in the lake, the store, the logs or an error.

use std::collections::BTreeSet;
use std::path::Path;

use gam_tests::github::{Double, Fault, TOKEN, generated};
use gam_tests::program::{RunResult, Sandbox};
use parquet::file::reader::{FileReader, SerializedFileReader};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row, ValueRef};

use gam_tests::support::{SINCE, batches, files, runtime};

/// What must be nowhere.
struct Secrets(BTreeSet<String>);

impl Secrets {
    #[track_caller]
    fn assert_not_in(&self, sandbox: &str, text: &str) {
        let text = text.to_lowercase();
        for secret in &self.0 {
            assert!(!text.contains(&secret.to_lowercase()), "{secret} is in {sandbox}");
        }
    }
}

/// Every row of a Parquet file and everything its footer says, as text.
fn table(path: &Path) -> String {
    let file = std::fs::File::open(path).expect("a file");
    let reader = SerializedFileReader::new(file).expect("a Parquet file");
    let mut text = format!("{:?}", reader.metadata());
    for row in reader.get_row_iter(None).expect("rows") {
        text.push_str(&row.expect("a row").to_string());
        text.push('\n');
    }
    text
}

/// Every value of every table of the store, as text.
async fn store(path: &Path) -> String {
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
fn neither_addresses_nor_tokens_are_stored_or_told() {
    let world = generated::world(40);
    let mut secrets = Secrets(world.emails());
    secrets.0.insert(TOKEN.to_owned());
    let times = generated::times(40, 4);
    let double = Double::start(world.clone(), times[0]);
    let sandbox = Sandbox::with_github(&double).with_variable("RUST_LOG", "trace");
    let kept = sandbox.dir().join("kept");
    std::fs::create_dir(&kept).expect("a directory");
    let tell = |result: &RunResult| {
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
        assert!(collected.stderr.contains("TRACE"), "the most is told that can be told");
        tell(&collected);
        for batch in batches(&sandbox) {
            let name = format!("{step}-{}", batch.file_name().expect("a name").to_string_lossy());
            std::fs::copy(&batch, kept.join(name)).expect("a copy");
        }
        let inbox = sandbox.lake_dir().join("inbox/org=acme-works");
        std::fs::create_dir_all(&inbox).expect("the inbox");
        if step == 1 {
            // Half of a batch that was read: what is set aside must not hold more than was collected.
            let bytes = std::fs::read(&files(&kept)[0]).expect("a batch");
            std::fs::write(inbox.join(format!("{}.parquet", "ab".repeat(32))), &bytes[..bytes.len() / 2])
                .expect("half");
        }
        tell(&sandbox.run(&["aggregate", "--log-format", format]).expect_status(if step == 1 {
            3
        } else {
            0
        }));
    }
    let refused = Sandbox::with_github(&double)
        .with_variable("RUST_LOG", "trace")
        .with_variable("GITHUB_TOKEN", "ghp_another0123456789");
    let refusal = refused.run(&["collect", &world.org]).expect_status(1);
    assert!(!refusal.stderr.contains("ghp_another0123456789"), "{}", refusal.stderr);
    for args in [
        &["show", "Acme-Works", "--since", SINCE, "--until", "2024-05-01"][..],
        &["export", "acme-works"],
        &["doctor"],
    ] {
        let run = sandbox.run(args);
        tell(&run);
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

    let (mut tables, mut rows) = (0, String::new());
    for file in files(sandbox.dir()) {
        let bytes = std::fs::read(&file).expect("its bytes");
        secrets.assert_not_in(&file.display().to_string(), &String::from_utf8_lossy(&bytes));
        let is_rejected = file.to_string_lossy().contains("/rejected/");
        if file.extension().is_some_and(|extension| extension == "parquet") && !is_rejected {
            tables += 1;
            rows.push_str(&table(&file));
        }
    }
    assert!(tables > 8 && rows.contains("commit:") && rows.contains("co_authors") && rows.contains('~'));
    assert_eq!(files(&sandbox.lake_dir().join("rejected")).len(), 1);
    secrets.assert_not_in("the tables", &rows);
    let stored = runtime().block_on(store(&sandbox.data_dir().join("store.sqlite")));
    assert!(stored.contains("Ann") && stored.contains("cleo-x"), "the store was read");
    secrets.assert_not_in("the store", &stored);
}
