//! `konbini mail preview`: a mail with sample data, as the shop's settings and templates make
//! it. Nothing is sent, and a running shop is not asked.

use clap::Args;
use clap::builder::PossibleValuesParser;
use notifications::MailText;

use crate::output;
use crate::shop::ShopArgs;

/// Print a kind of mail with sample data, as the shop's settings and templates make it.
///
/// A template of the shop that cannot be used is named, and the built-in one is used, as for a
/// mail that is sent.
#[derive(Debug, Args)]
pub(crate) struct PreviewMail {
    #[command(flatten)]
    shop: ShopArgs,
    /// The kind of mail.
    #[arg(value_parser = PossibleValuesParser::new(notifications::mail_kinds()))]
    kind: String,
    /// The recipient's language, such as de [default: `notifications.language`].
    #[arg(long, value_name = "TAG")]
    lang: Option<String>,
    /// Print the HTML of the most usual mail of the kind, to be opened in a browser.
    #[arg(long, conflicts_with = "text")]
    html: bool,
    /// Print subject and plain text of every mail of the kind. The default.
    #[arg(long)]
    text: bool,
}

/// Prints the mails of a kind.
pub(crate) fn preview(preview: PreviewMail) -> anyhow::Result<()> {
    let (folder, config) = preview.shop.open("warn", None)?;
    let lang = preview.lang.as_deref();
    let config = config.notifications();
    let mails = notifications::preview_mails(folder.templates(), config, &preview.kind, lang);
    for (place, MailText { subject, text, html }) in mails.into_iter().enumerate() {
        match (preview.html, place) {
            (true, 0) => output::line!("{}", html.trim_end()),
            (true, _) => {}
            (false, place) => {
                if place > 0 {
                    output::line!("\n{:=<72}\n", "");
                }
                output::line!("Subject: {subject}\n\n{}", text.trim_end());
            }
        }
    }
    Ok(())
}
