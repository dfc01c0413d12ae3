//! What packages install beside the binary: man pages, shell completions and units.

use std::collections::BTreeMap;
use std::path::Path;

use tempfile::TempDir;

use crate::world::konbini;

/// Every file below a folder by its path in it.
fn files(below: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(below).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            let inner = self::files(&entry.path()).into_iter();
            files.extend(inner.map(|(path, text)| (format!("{name}/{path}"), text)));
        } else {
            files.insert(name, std::fs::read_to_string(entry.path()).unwrap());
        }
    }
    files
}

fn generated() -> BTreeMap<String, String> {
    let folder = TempDir::new().unwrap();
    let target = folder.path().join("made/here");
    let done = konbini(&["generate"]).arg(&target).output().unwrap();
    assert!(done.status.success(), "{done:?}");
    files(&target)
}

/// The commands that the help of `command` lists.
fn subcommands(command: &[&str]) -> Vec<String> {
    let help = konbini(command).arg("--help").output().unwrap().stdout;
    let help = String::from_utf8(help).unwrap();
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let is_listed = |line: &&str| line.starts_with("  ");
    let names = listed
        .take_while(is_listed)
        // A line that goes on with a description is indented further.
        .filter(|line| line.as_bytes()[2].is_ascii_lowercase())
        .map(|line| line.split_whitespace().next().unwrap().to_owned());
    names.filter(|name| name != "help").collect()
}

#[test]
fn every_command_has_a_man_page_and_every_shell_its_completions() {
    let files = generated();
    assert_eq!(files, generated(), "the same binary writes the same files");
    let main = &files["man1/konbini.1"];
    let settings = &files["man5/konbini.toml.5"];
    let commands = subcommands(&[]);
    assert!(commands.len() > 8, "{commands:?}");
    for command in &commands {
        let page = &files[&format!("man1/konbini-{command}.1")];
        assert!(
            page.contains(".SH SYNOPSIS") && page.contains("konbini (1)"),
            "{page}"
        );
        let mentioned = command.replace('-', "\\-");
        assert!(
            main.contains(&format!("konbini\\-{mentioned}(1)")),
            "{command}"
        );
        for inner in subcommands(&[command]) {
            assert!(
                files.contains_key(&format!("man1/konbini-{command}-{inner}.1")),
                "{inner}"
            );
        }
        for shell in ["konbini.bash", "_konbini", "konbini.fish"] {
            assert!(
                files[&format!("completions/{shell}")].contains(command.as_str()),
                "{shell}"
            );
        }
    }
    for section in ["EXIT STATUS", "SIGNALS", "ENVIRONMENT", "FILES", "EXAMPLES"] {
        let heading = [".SH ", section].concat();
        assert!(main.replace('"', "").contains(&heading), "{section}");
    }
    // Every variable that an option can be given by, and every exit status.
    for variable in [
        "KONBINI_DATA",
        "KONBINI_LISTEN",
        "KONBINI_LOG",
        "KONBINI_LOG_FORMAT",
    ] {
        assert!(main.contains(&format!(".B {variable}\n")), "{variable}");
    }
    for status in [0, 1, 2, 78] {
        assert!(main.contains(&format!(".TP\n.B {status}\n")), "{status}");
    }
    assert!(settings.contains("\\&[gateway.limits]") && settings.contains("#rotate_days = 90"));
    assert!(!main.contains("generate"), "the command is for packages");
}

/// The settings of one section of a unit, in the order of the file.
fn section<'a>(unit: &'a str, name: &str) -> Vec<&'a str> {
    let lines = unit.lines().skip_while(|line| *line != name).skip(1);
    lines
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect()
}

#[test]
fn the_units_of_one_process_and_of_five_have_the_same_settings() {
    let one = include_str!("../../systemd/konbini.service");
    let five = include_str!("../../systemd/konbini@.service");
    // The command and its share of the memory are what they are for.
    let shared = |unit| -> Vec<&str> {
        let lines = section(unit, "[Service]").into_iter();
        lines
            .filter(|line| !line.starts_with("ExecStart=") && !line.starts_with("MemoryHigh="))
            .collect()
    };
    assert!(shared(one).len() > 40);
    assert_eq!(shared(one), shared(five));
    let one = include_str!("../../systemd/konbini.socket");
    let five = include_str!("../../systemd/konbini@gateway.socket");
    assert!(section(one, "[Socket]").len() > 3);
    assert_eq!(section(one, "[Socket]"), section(five, "[Socket]"));
}

#[test]
fn a_package_and_the_installation_by_script_have_every_unit() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let package = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let script = std::fs::read_to_string(root.join("packaging/install.sh")).unwrap();
    for unit in files(&root.join("systemd"))
        .into_keys()
        .filter(|file| !file.ends_with(".md"))
    {
        if unit.starts_with("tests/") {
            continue;
        }
        assert!(
            package.contains(&format!("[\"systemd/{unit}\", ")),
            "{unit}"
        );
        let name = unit.rsplit('/').next().unwrap();
        assert!(script.contains(name), "{unit}");
    }
}
