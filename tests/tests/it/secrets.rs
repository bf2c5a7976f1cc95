//! No e-mail address and no token anywhere: not in the lake, the store, the logs or an error.

use std::collections::BTreeSet;
use std::path::Path;

use gam_tests::github::{Double, Fault, TOKEN, generated};
use gam_tests::program::{Outcome, Place};
use parquet::file::reader::{FileReader, SerializedFileReader};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row, ValueRef};

use gam_tests::support::{SINCE, batches, files, runtime};

/// What must be nowhere.
struct Secrets(BTreeSet<String>);

impl Secrets {
    #[track_caller]
    fn assert_not_in(&self, place: &str, text: &str) {
        let text = text.to_lowercase();
        for secret in &self.0 {
            assert!(!text.contains(&secret.to_lowercase()), "{secret} is in {place}");
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
    let moments = generated::moments(40, 4);
    let double = Double::start(world.clone(), moments[0]);
    let place = Place::with(&double).set("RUST_LOG", "trace");
    let kept = place.dir().join("kept");
    std::fs::create_dir(&kept).expect("a directory");
    let tell = |outcome: &Outcome| {
        secrets.assert_not_in("stdout", &outcome.text());
        secrets.assert_not_in("stderr", &outcome.stderr);
    };
    double.plan("PullRequests", 1, 1, Fault::Truncated);
    double.plan("Commits", 1, 1, Fault::NullNode);
    for (step, now) in moments.iter().enumerate() {
        double.set_now(*now);
        let format = ["pretty", "json"][step % 2];
        let collected =
            place.run(&["collect", &world.org, "--since", SINCE, "--log-format", format]).expect(0);
        assert!(collected.stderr.contains("TRACE"), "the most is told that can be told");
        tell(&collected);
        for batch in batches(&place) {
            let name = format!("{step}-{}", batch.file_name().expect("a name").to_string_lossy());
            std::fs::copy(&batch, kept.join(name)).expect("a copy");
        }
        let inbox = place.lake().join("inbox/org=acme-works");
        std::fs::create_dir_all(&inbox).expect("the inbox");
        if step == 1 {
            // Half of a batch that was read: what is set aside must not hold more than was collected.
            let bytes = std::fs::read(&files(&kept)[0]).expect("a batch");
            std::fs::write(inbox.join(format!("{}.parquet", "ab".repeat(32))), &bytes[..bytes.len() / 2])
                .expect("half");
        }
        tell(&place.run(&["aggregate", "--log-format", format]).expect(if step == 1 { 3 } else { 0 }));
    }
    let refused = Place::with(&double).set("RUST_LOG", "trace").set("GITHUB_TOKEN", "ghp_another0123456789");
    let refusal = refused.run(&["collect", &world.org]).expect(1);
    assert!(!refusal.stderr.contains("ghp_another0123456789"), "{}", refusal.stderr);
    for args in [
        &["show", "Acme-Works", "--since", SINCE, "--until", "2024-05-01"][..],
        &["export", "acme-works"],
        &["doctor"],
    ] {
        let run = place.run(args);
        tell(&run);
        assert!(!run.stdout.is_empty());
    }
    let serving = place.serve();
    gam_tests::answers::check(serving.address(), &world, moments[3], &gam_tests::support::whole());
    secrets.assert_not_in("the server's log", &serving.stop());

    let (mut tables, mut rows) = (0, String::new());
    for file in files(place.dir()) {
        let bytes = std::fs::read(&file).expect("its bytes");
        secrets.assert_not_in(&file.display().to_string(), &String::from_utf8_lossy(&bytes));
        let is_rejected = file.to_string_lossy().contains("/rejected/");
        if file.extension().is_some_and(|extension| extension == "parquet") && !is_rejected {
            tables += 1;
            rows.push_str(&table(&file));
        }
    }
    assert!(tables > 8 && rows.contains("commit:") && rows.contains("co_authors") && rows.contains('~'));
    assert_eq!(files(&place.lake().join("rejected")).len(), 1);
    secrets.assert_not_in("the tables", &rows);
    let stored = runtime().block_on(store(&place.data().join("store.sqlite")));
    assert!(stored.contains("Ann") && stored.contains("cleo-x"), "the store was read");
    secrets.assert_not_in("the store", &stored);
}
