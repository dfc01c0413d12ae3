//! A report on files of every form: what is on the page, and how a browser shows it.

use std::process::Command;

use super::*;
use crate::comparison::Sitting;
use crate::comparison::tests::scaled;
use crate::result::{self, RunResult, SweptValue};

/// Pixels of a page: a telephone and a desktop.
const WIDTHS: [u32; 2] = [390, 1200];

/// Measures each chart where a browser has laid it out, and collects what it complains of.
/// The page must fit the window, and every line must have points and one at least a size.
const PROBE: &str = r"<script>
const found = [];
addEventListener('error', event => found.push('error: ' + event.message));
const charts = [...document.querySelectorAll('figure')];
for (const chart of charts) {
  const lines = [...chart.querySelectorAll('polyline')];
  const has_size = line => { const box = line.getBBox(); return box.width + box.height > 1; };
  const is_line = line => line.points.length > 1;
  if (!lines.every(is_line) || !lines.some(has_size)) found.push('no data: ' + chart.id);
  const letters = chart.querySelector('text').getBoundingClientRect().height;
  if (letters < 10) found.push('small letters: ' + chart.id + ' ' + letters);
}
const frame = document.documentElement;
if (frame.scrollWidth > frame.clientWidth) found.push('wider than the window: ' + frame.scrollWidth);
document.title = `charts ${charts.length}, width ${innerWidth}, found ${JSON.stringify(found)}`;
</script>";

/// A page of a run with two kinds, a slower run, a sweep and a sitting.
fn page(folder: &Path) -> String {
    let mut first = scaled(1.0);
    first
        .arguments
        .push("--out=<script>alert(1)</script>".to_owned());
    let mut search = first.loads[0].clone();
    search.kind = "search".to_owned();
    first.loads.push(search);
    let at = |rate: f64| RunResult {
        swept: Some(SweptValue { what: "rate".to_owned(), value: rate }),
        ..scaled(1.0 / rate)
    };
    let file = |name: &str| folder.join(name);
    result::write(&file("first.json"), &[first]).unwrap();
    result::write(&file("second.json"), &[scaled(0.8)]).unwrap();
    result::write(&file("sweep.json"), &[1.0, 2.0, 4.0, 9.0].map(at)).unwrap();
    let sides = [1.0, 1.2].map(|scale| [1.0, 0.9, 1.1].map(|off| scaled(scale * off)).to_vec());
    let [before, after] = sides;
    let sitting = Sitting::new(before, after);
    sitting.write(&file("sitting.json")).unwrap();
    let out = file("page.html");
    let names = ["first.json", "second.json", "sweep.json", "sitting.json"];
    let args = Args {
        files: names.map(file).to_vec(),
        out: Some(out.clone()),
        svg: Some(file("charts")),
        markdown: false,
        into: None,
        name: None,
        commit: Some("0123abc".to_owned()),
    };
    run(&args).unwrap();
    std::fs::read_to_string(out).unwrap()
}

#[test]
fn a_page_has_everything_in_itself() {
    let folder = tempfile::tempdir().unwrap();
    let page = page(folder.path());
    for part in [
        "orders: 2 runs",
        "orders: first",
        "orders: sweep",
        "before and after",
        "0123abc",
        "&lt;script&gt;",
    ] {
        assert!(page.contains(part), "no {part}");
    }
    for foreign in ["<script", "src=", "url(", "@import"] {
        assert!(!page.contains(foreign), "{foreign} in the page");
    }
    // Every colour of a chart has one on a dark page.
    for attribute in ["fill=\"", "stroke=\""] {
        for rest in page.split(&format!(" {attribute}")).skip(1) {
            let colour = rest.split('"').next().unwrap();
            let exchanged = page.contains(&format!("[{attribute}{colour}\"]"));
            assert!(exchanged || colour == "none", "{attribute}{colour}");
        }
    }
    let charts = std::fs::read_dir(folder.path().join("charts"))
        .unwrap()
        .count();
    assert_eq!(charts, page.matches("<figure").count());
}

/// `chromium` is Debian's package of that name.
#[test]
#[ignore = "needs chromium"]
fn a_browser_shows_every_chart_without_a_complaint() {
    let folder = tempfile::tempdir().unwrap();
    let page = page(folder.path());
    let charts = page.matches("<figure").count();
    let probed = folder.path().join("probed.html");
    std::fs::write(&probed, page + PROBE).unwrap();
    for width in WIDTHS {
        // A frame has the width that is asked for, whatever the least width of a window is.
        let framed = folder.path().join("framed.html");
        let frame = format!(
            "<iframe src=probed.html style='width:{width}px;height:900px;border:0'></iframe>\
             <script>onload = () => document.title = \
             document.querySelector('iframe').contentDocument.title</script>"
        );
        std::fs::write(&framed, frame).unwrap();
        let mut chromium = Command::new("chromium");
        chromium.args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]);
        chromium.args(["--allow-file-access-from-files", "--window-size=1300,1000"]);
        chromium.args(["--enable-logging=stderr", "--virtual-time-budget=5000"]);
        chromium.arg(format!(
            "--user-data-dir={}",
            folder.path().join("profile").display()
        ));
        let shown = chromium.arg(&framed).output().expect("chromium starts");
        let (dom, log) = (
            String::from_utf8_lossy(&shown.stdout),
            String::from_utf8_lossy(&shown.stderr),
        );
        assert!(!log.contains("CONSOLE"), "{log}");
        let expected = format!("charts {charts}, width {width}, found []");
        assert!(dom.contains(&expected), "{expected}\n{dom}\n{log}");
    }
}
