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

/// A page that holds another at two widths, and tells what each layout came to. The report itself may run no script, so
/// the page around it looks from outside.
fn probe(report: &str) -> String {
    let quoted = report.replace('&', "&amp;").replace('"', "&quot;");
    let frame = |width: u32| {
        format!(r#"<iframe sandbox="allow-same-origin" width="{width}" height="900" srcdoc="{quoted}"></iframe>"#)
    };
    let script = r#"
onload = () => {
  const look = frame => {
    const d = frame.contentDocument, w = d.defaultView, box = e => e.getBoundingClientRect();
    const plots = [...d.querySelectorAll("svg.plot")].filter(s => s.checkVisibility() && box(s).width > 0);
    const texts = plots.flatMap(s => [...s.querySelectorAll("text")].map(t => [box(t), box(s), t.textContent.trim()]));
    const background = w.getComputedStyle(d.body).backgroundColor;
    const invisible = [...d.querySelectorAll("h1, h2, h3, p, td, th, li, svg text")]
      .filter(e => e.textContent.trim() && [w.getComputedStyle(e).color, w.getComputedStyle(e).fill].includes(background));
    return {
      width: w.innerWidth,
      overflow: d.documentElement.scrollWidth - w.innerWidth,
      headline: box(d.querySelector("h1")).height,
      plots: plots.length,
      texts: texts.length,
      small: texts.filter(([t]) => t.height < 10).map(([, , s]) => s),
      outside: texts.filter(([t, s]) => t.left < s.left - 3 || t.right > s.right + 3).map(([, , s]) => s),
      invisible: invisible.map(e => e.textContent),
    };
  };
  document.body.dataset.result = JSON.stringify([...document.querySelectorAll("iframe")].map(look));
}"#;
    format!("<!DOCTYPE html><title>probe</title>{}{}<script>{script}</script>", frame(1280), frame(400))
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
        let page = temporary.path().join("probe.html");
        std::fs::write(&page, probe(&html)).unwrap();
        let (console, dom) = browse(&browser, &profile, &page, &["--dump-dom", "--virtual-time-budget=4000"]);
        assert_eq!(console, "", "{name}");
        let data = dom.split("data-result=\"").nth(1).and_then(|t| t.split('"').next()).expect("the probe ran");
        let unquoted = data.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
        let layouts: Vec<serde_json::Value> = serde_json::from_str(&unquoted).unwrap();
        assert_eq!(layouts.iter().map(|l| figure(l, "width")).collect::<Vec<_>>(), [1280, 400]);
        for layout in layouts {
            assert!(figure(&layout, "overflow") <= 0, "{name} scrolls sideways: {layout}");
            assert!(figure(&layout, "headline") > 20 && figure(&layout, "plots") > 0 && figure(&layout, "texts") > 10);
            for fault in ["small", "outside", "invisible"] {
                assert_eq!(layout[fault], serde_json::json!([]), "{name}: text is {fault}: {layout}");
            }
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
