//! `konbini generate`: the man pages and shell completions that packages contain.
//!
//! Both are made from the definition of the command line, so they agree with the binary that
//! wrote them. What clap does not know (exit status, files, environment, signals) is
//! written by hand in `generate/konbini.1.roff`, and the settings' page is the settings' file.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;

/// The manual that the pages belong to, in the middle of their first line.
const MANUAL: &str = "konbini";

/// The sections of konbini(1) that are not about its arguments.
const SECTIONS: &str = include_str!("generate/konbini.1.roff");

/// Every setting with its default, as packages install it.
pub(crate) const SETTINGS: &str = include_str!("../packaging/konbini.toml");

/// Write the man pages and the shell completions into a folder, for packages.
#[derive(Debug, Args)]
pub(crate) struct Generate {
    /// The folder, which is created if it is absent.
    folder: PathBuf,
}

/// Writes `man1/*.1`, `man5/konbini.toml.5`, and the completions in `completions/` of a command
/// line.
pub(crate) fn generate(Generate { folder }: &Generate, command: Command) -> anyhow::Result<()> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let source = format!("{MANUAL} {}", env!("CARGO_PKG_VERSION"));
    let pages = subfolder(folder, "man1")?;
    write_pages(&command, &source, &pages)?;
    let settings = settings_page(&source, SETTINGS);
    write(
        &subfolder(folder, "man5")?.join("konbini.toml.5"),
        &settings,
    )?;
    let completions = subfolder(folder, "completions")?;
    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        clap_complete::generate_to(shell, &mut command, "konbini", &completions)
            .with_context(|| completions.display().to_string())?;
    }
    Ok(())
}

/// The page of a command, and those of its subcommands.
fn write_pages(command: &Command, source: &str, folder: &Path) -> anyhow::Result<()> {
    let man = Man::new(command.clone()).source(source).manual(MANUAL);
    let file = folder.join(man.get_filename());
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    let mut visible = command
        .get_subcommands()
        .filter(|sub| !sub.is_hide_set())
        .peekable();
    if visible.peek().is_some() {
        man.render_subcommands_section(&mut page)?;
    }
    let is_main = command.get_name() == "konbini";
    let sections = if is_main {
        SECTIONS
    } else {
        ".SH SEE ALSO\n.BR konbini (1)\n"
    };
    page.extend_from_slice(sections.as_bytes());
    write(&file, &page)?;
    visible.try_for_each(|sub| write_pages(sub, source, folder))
}

/// konbini.toml(5): a head, and the file with its comments as it is.
fn settings_page(source: &str, settings: &str) -> String {
    let mut page = format!(
        ".TH konbini.toml 5 \"\" \"{source}\" \"{MANUAL}\"\n\
         .SH NAME\nkonbini.toml \\- the settings of a konbini shop\n\
         .SH SYNOPSIS\n.I /etc/konbini/konbini.toml\n.br\n.I DATA/konbini.toml\n\
         .SH DESCRIPTION\n\
         Every setting with its default. A line that begins with # and a name is a setting as it \
         is without the file; the settings are read when a service starts.\n\
         .SH SETTINGS\n.nf\n"
    );
    for line in settings.lines() {
        let line = line.replace('\\', "\\e").replace('-', "\\-");
        // `\&` keeps a line that begins with a dot or a quote from being a request.
        writeln!(page, "\\&{line}").expect("a string takes every line");
    }
    page.push_str(".fi\n.SH SEE ALSO\n.BR konbini (1)\n");
    page
}

fn subfolder(folder: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let path = folder.join(name);
    fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
    Ok(path)
}

fn write(file: &Path, content: impl AsRef<[u8]>) -> anyhow::Result<()> {
    fs::write(file, content).with_context(|| file.display().to_string())
}
