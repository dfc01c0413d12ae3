//! PostgreSQL, driven by its own pgbench, and SQLite's full-text search, driven by Python: each
//! by a program of its own, so that no driver is linked here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;

use super::{Measurement, YardstickRow};
use crate::daemon::{self, Daemon, free_address, skip};
use crate::series::Series;

/// Where Debian has the programs of each version that are not in the path.
const POSTGRES_VERSIONS: &str = "/usr/lib/postgresql";
/// PostgreSQL refuses to run as root.
const POSTGRES_USER: &str = "postgres";
/// A thousand products whose stock never runs out, and what an order writes to.
const TABLES: &str = "
CREATE TABLE stock (product int PRIMARY KEY, level bigint, held bigint);
INSERT INTO stock SELECT number, 1000000000, 0 FROM generate_series(1, 1000) number;
CREATE TABLE orders (id bigserial PRIMARY KEY, buyer int, total bigint, at timestamptz DEFAULT now());
CREATE TABLE lines (order_id bigint, product int, quantity int);
CREATE TABLE events (id bigserial PRIMARY KEY, kind text, subject bigint);
";

/// Titles that SQLite searches.
const TITLES: u32 = 10_000;

/// Stock held, an order, its line and an event in one transaction, which commits with a sync.
const ORDER: &str = "\\set product random(1, 1000)
\\set buyer random(1, 1000)
BEGIN;
UPDATE stock SET held = held + 1 WHERE product = :product AND held < level;
INSERT INTO orders (buyer, total) VALUES (:buyer, 1299) RETURNING id AS order_id \\gset
INSERT INTO lines (order_id, product, quantity) VALUES (:order_id, :product, 1);
INSERT INTO events (kind, subject) VALUES ('order.placed', :order_id);
COMMIT;
";

/// Fills a table of titles, then searches for two words of each of some, and prints the times.
const SEARCH: &str = "
import json, random, sqlite3, sys, time
titles, seconds, folder = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
random.seed(7)
words = [a + b for a in 'ba ce di fo gu ha ke li mo nu pa re si to vu'.split()
         for b in 'bel cor dan fer gil hum kan lor min nes por ral sen tur ven'.split()]
db = sqlite3.connect(folder + '/titles.db')
db.execute('CREATE VIRTUAL TABLE titles USING fts5(title)')
rows = [' '.join(random.sample(words, 6)) for _ in range(titles)]
db.executemany('INSERT INTO titles VALUES (?)', [(row,) for row in rows])
db.commit()
took, end = [], time.perf_counter() + seconds
while time.perf_counter() < end:
    two = ' '.join(random.choice(rows).split()[:2])
    begin = time.perf_counter()
    db.execute('SELECT title FROM titles WHERE titles MATCH ? ORDER BY rank LIMIT 20', (two,)).fetchall()
    took.append(time.perf_counter() - begin)
print(json.dumps({'took_us': [round(one * 1e6) for one in took], 'processor_us': time.process_time() * 1e6}))
";

/// Orders in PostgreSQL, over one connection and over many.
pub(super) async fn postgres(measurement: &Measurement<'_>) -> anyhow::Result<Vec<YardstickRow>> {
    let Some(programs) = postgres_programs() else {
        skip("postgres");
        return Ok(Vec::new());
    };
    let (folder, address) = (&measurement.folder, free_address()?);
    init(&programs, folder)?;
    let mut command = as_its_user(&programs.join("postgres"));
    command
        .arg("-D")
        .arg(folder.join("data"))
        .arg("-k")
        .arg(folder);
    command.args(["-h", "127.0.0.1", "-p", &address.port().to_string()]);
    let Some(mut server) = Daemon::spawn("postgres", command)? else {
        return Ok(Vec::new());
    };
    server.listens(address).await?;
    let port = address.port().to_string();
    let client = ["-h", "127.0.0.1", "-p", &port, "-U", "bench"];
    let mut psql = as_its_user(&programs.join("psql"));
    psql.args(client);
    psql.args(["-q", "-v", "ON_ERROR_STOP=1", "-c", TABLES, "postgres"]);
    daemon::output("psql", psql)?;
    let script = folder.join("order.sql");
    fs::write(&script, ORDER)?;
    let mut rows = Vec::new();
    for connections in measurement.connections() {
        let log = folder.join(format!("log{connections}"));
        let mut pgbench = as_its_user(&programs.join("pgbench"));
        pgbench.args(client);
        pgbench.args(["-n", "-M", "prepared", "-l", "--log-prefix"]);
        pgbench.arg(&log);
        let lasting = measurement.lasting.as_secs().to_string();
        pgbench.args(["-c", &connections.to_string(), "-T", &lasting, "-f"]);
        pgbench.arg(&script).arg("postgres").current_dir(folder);
        tokio::task::spawn_blocking(|| daemon::output("pgbench", pgbench)).await??;
        let series = pgbench_series(folder, &log, measurement.lasting)?;
        let operation = "order, line, event and stock, committed";
        rows.push(YardstickRow::of_series(
            "postgres",
            operation,
            connections,
            &series,
            None,
        ));
    }
    Ok(rows)
}

/// Makes a cluster in `folder`, which its user can reach and owns.
fn init(programs: &Path, folder: &Path) -> anyhow::Result<()> {
    if rustix::process::geteuid().is_root() {
        let mut owner = Command::new("chown");
        owner.arg(POSTGRES_USER).arg(folder);
        daemon::output("chown", owner)?;
        let mut rights = Command::new("chmod");
        rights.arg("a+rx").arg(folder).args(folder.parent());
        daemon::output("chmod", rights)?;
    }
    let mut initdb = as_its_user(&programs.join("initdb"));
    initdb.args(["--auth=trust", "--username=bench", "--encoding=UTF8", "-D"]);
    initdb.arg(folder.join("data"));
    daemon::output("initdb", initdb)?;
    Ok(())
}

/// The newest version that is installed.
fn postgres_programs() -> Option<PathBuf> {
    let versions = fs::read_dir(POSTGRES_VERSIONS).ok()?.flatten();
    let programs = versions.map(|version| version.path().join("bin"));
    programs
        .filter(|programs| programs.join("pgbench").exists())
        .max()
}

/// A program of PostgreSQL, as a user that it accepts.
fn as_its_user(program: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    let user = format!("--reuid={POSTGRES_USER}");
    command.args([&user, "--regid=postgres", "--clear-groups", "--"]);
    command.arg(program);
    command
}

/// The transactions of pgbench's logs, whose third column is microseconds.
fn pgbench_series(folder: &Path, prefix: &Path, lasting: Duration) -> anyhow::Result<Series> {
    let mut series = Series::new()?;
    let prefix = prefix
        .file_name()
        .context("a log has a name")?
        .to_string_lossy();
    for entry in fs::read_dir(folder)?.flatten() {
        let name = entry.file_name();
        // `log1` is no beginning of `log16.PID`.
        if name.to_string_lossy().split('.').next() != Some(&prefix) {
            continue;
        }
        for line in fs::read_to_string(entry.path())?.lines() {
            let us = line.split(' ').nth(2).and_then(|us| us.parse().ok());
            series.record_lasting(Duration::from_micros(
                us.context("pgbench's log has times")?,
            ));
        }
    }
    series.add_elapsed(lasting);
    Ok(series)
}

#[derive(Deserialize)]
struct Searches {
    took_us: Vec<u64>,
    processor_us: f64,
}

/// Searches of SQLite for two words of a title, over one connection: it has no server.
pub(super) async fn sqlite(measurement: &Measurement<'_>) -> anyhow::Result<Vec<YardstickRow>> {
    let mut python = Command::new("python3");
    python.args(["-c", SEARCH, &TITLES.to_string()]);
    python
        .arg(measurement.lasting.as_secs().to_string())
        .arg(&measurement.folder);
    let searching = tokio::task::spawn_blocking(|| daemon::output("python3", python));
    let Some(printed) = searching.await?? else {
        return Ok(Vec::new());
    };
    let searches: Searches = serde_json::from_str(&printed)?;
    let mut series = Series::new()?;
    for us in &searches.took_us {
        series.record_lasting(Duration::from_micros(*us));
    }
    series.add_elapsed(Duration::from_micros(searches.took_us.iter().sum()));
    let operation = "search for two words in 10,000 titles";
    let row = YardstickRow::of_series("sqlite", operation, 1, &series, Some(searches.processor_us));
    Ok(vec![row])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logs_of_one_run_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let log = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        log(
            "log1.42",
            "0 1 900 0 1764576000 1\n0 2 1100 0 1764576000 2\n",
        );
        log("log16.43", "0 1 5 0 1764576000 1\n");
        let prefix = folder.path().join("log1");
        let series = pgbench_series(folder.path(), &prefix, Duration::from_secs(2)).unwrap();
        assert_eq!((series.count(), series.rate()), (2, 1.0));
        assert!(series.quantile(1.0) >= Duration::from_micros(1_000));
    }
}
