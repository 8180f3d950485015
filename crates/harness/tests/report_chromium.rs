//! The report in a real browser: nothing on the console, text that can be read, at both widths and in both themes.
//! Runs where Chromium is there. `REPORT_SAMPLE_DIR=DIR` keeps the pages and their pictures.

mod report_sample;

use std::path::{Path, PathBuf};
use std::process::Command;

use harness::report::{write, write_index};
use harness::trial::record::RunRecord;

fn chromium() -> Option<PathBuf> {
    ["chromium", "chromium-browser", "google-chrome"].into_iter().find_map(|name| {
        std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(name)).find(|path| path.is_file())
    })
}

/// What the browser says of a page: (its console and errors, the document after layout).
fn browse(browser: &Path, profile: &Path, page: &Path, arguments: &[&str]) -> (String, String) {
    let output = Command::new(browser)
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--enable-logging=stderr",
            "--log-level=0",
        ])
        .args(["--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(arguments)
        .arg(format!("file://{}", page.display()))
        .output()
        .expect("the browser starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let log = String::from_utf8_lossy(&output.stderr);
    let console = log.lines().filter(|l| l.contains("CONSOLE")).collect::<Vec<_>>().join("\n");
    (console, String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A page that holds another at a width, and tells what its layout came to. The report itself may run no script, so the
/// frame looks from outside.
fn probe(report: &str, width: u32) -> String {
    let quoted = report.replace('&', "&amp;").replace('"', "&quot;");
    format!(
        r#"<!DOCTYPE html><title>probe</title><iframe sandbox="allow-same-origin" width="{width}" height="900" srcdoc="{quoted}"></iframe>
<script>onload = () => {{
  const d = document.querySelector("iframe").contentDocument, w = d.defaultView;
  const seen = [...d.querySelectorAll("svg.plot")].filter(s => s.checkVisibility() && s.getBoundingClientRect().width > 0);
  const texts = seen.flatMap(s => [...s.querySelectorAll("text")]);
  const small = texts.filter(t => t.getBoundingClientRect().height < 9).length;
  const outside = seen.flatMap(s => {{ const b = s.getBoundingClientRect();
    return [...s.querySelectorAll("text")].filter(t => {{ const r = t.getBoundingClientRect(); return r.left < b.left - 3 || r.right > b.right + 3; }}); }})
    .map(t => t.textContent.trim());
  const plain = [...d.querySelectorAll("h1, h2, h3, p, td, th, li")].filter(e => e.textContent.trim() && w.getComputedStyle(e).color === w.getComputedStyle(d.body).backgroundColor).length;
  document.title = "probed";
  document.body.dataset.result = JSON.stringify({{ overflow: d.documentElement.scrollWidth - w.innerWidth, plots: seen.length, texts: texts.length, small, outside, plain,
    h1: d.querySelector("h1").getBoundingClientRect().height }});
}}</script>"#
    )
}

fn figure(result: &serde_json::Value, key: &str) -> i64 {
    result[key].as_f64().unwrap_or_else(|| panic!("no {key} in {result}")) as i64
}

#[test]
fn reads_well_in_a_browser() {
    let Some(browser) = chromium() else {
        println!("chromium: absent, skipped");
        return;
    };
    let temporary = tempfile::tempdir().unwrap();
    let root = std::env::var_os("REPORT_SAMPLE_DIR").map_or_else(|| temporary.path().to_path_buf(), PathBuf::from);
    let profile = temporary.path().join("profile");
    let keep = std::env::var_os("REPORT_SAMPLE_DIR").is_some();
    let one = report_sample::run(vec![report_sample::trial(1, "fast", 1.0)]);
    let samples: [(&str, RunRecord); 4] = [
        ("held", report_sample::held()),
        ("hostile", report_sample::hostile()),
        ("sweep", report_sample::sweep()),
        ("one", one),
    ];
    for (name, run) in samples {
        let dir = root.join(name);
        write(&run, &dir).unwrap();
        let html = std::fs::read_to_string(dir.join("report.html")).unwrap();
        for width in [1280, 400] {
            let page = temporary.path().join("probe.html");
            std::fs::write(&page, probe(&html, width)).unwrap();
            let (console, dom) = browse(&browser, &profile, &page, &["--dump-dom", "--virtual-time-budget=4000"]);
            // The frame forbids scripts; that it says so of the page would mean that the page has one.
            assert_eq!(console, "", "{name} at {width}");
            let data = dom
                .split("data-result=\"")
                .nth(1)
                .and_then(|t| t.split('"').next())
                .unwrap_or_else(|| panic!("no result: {dom}"));
            let result: serde_json::Value = serde_json::from_str(
                &data.replace("&quot;", "\"").replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">"),
            )
            .unwrap();
            assert!(figure(&result, "overflow") <= 0, "{name} at {width} scrolls sideways: {result}");
            assert!(
                figure(&result, "h1") > 20 && figure(&result, "plots") > 0 && figure(&result, "texts") > 10,
                "{name} at {width}: {result}"
            );
            assert_eq!(figure(&result, "small"), 0, "{name} at {width}: text of plots too small");
            assert_eq!(result["outside"], serde_json::json!([]), "{name} at {width}: text leaves its plot");
            assert_eq!(figure(&result, "plain"), 0, "{name} at {width}: text in the colour of the page");
        }
        if keep {
            for (width, theme) in [(1280, "light"), (1280, "dark"), (400, "light"), (400, "dark")] {
                let shot = format!("--screenshot={}", root.join(format!("{name}-{width}-{theme}.png")).display());
                // Headless windows are at least 500 px wide: the narrow one is a frame.
                let page = temporary.path().join("frame.html");
                let quoted = html.replace('&', "&amp;").replace('"', "&quot;");
                std::fs::write(&page, format!("<!DOCTYPE html><body style=\"margin:0\"><iframe style=\"border:0\" width={width} height=9000 srcdoc=\"{quoted}\"></iframe>")).unwrap();
                let size = format!("--window-size={width},9000");
                let dark = if theme == "dark" {
                    "--blink-settings=preferredColorScheme=0"
                } else {
                    "--blink-settings=preferredColorScheme=1"
                };
                browse(&browser, &profile, &page, &[&shot, &size, dark]);
            }
        }
    }
    let index = write_index(&root).unwrap();
    let (console, dom) = browse(&browser, &profile, &index, &["--dump-dom"]);
    assert_eq!(console, "");
    assert!(dom.contains("All runs, newest first"));
    if keep {
        let shot = format!("--screenshot={}", root.join("index.png").display());
        browse(&browser, &profile, &index, &[&shot, "--window-size=1280,1000"]);
    }
}
