use super::*;

async fn get(mock: &Liverc, path: &str) -> (u16, String) {
    // reqwest is built without a default TLS provider; one must be there even for plain HTTP.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let response = reqwest::get(format!("http://{}{path}", mock.address())).await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_served_and_counted_by_phase() {
    let mock = Liverc::start().await.unwrap();
    let render: Render = Arc::new(|page| match page {
        Page::Race(9) => None,
        page => Some(format!("page {page:?}")),
    });
    mock.serve(1, (2..10).collect(), render).await;
    assert_eq!(get(&mock, "/results/?p=view_event&id=1").await, (200, "page Event(1)".into()));
    mock.set_phase(1, 2);
    assert_eq!(get(&mock, "/results/?p=view_race_result&id=3").await, (200, "page Race(3)".into()));
    assert_eq!(get(&mock, "/results/?p=view_race_result&id=3").await.0, 200);
    assert_eq!(get(&mock, "/results/?p=view_race_result&id=9").await.0, 404);
    assert_eq!(get(&mock, "/elsewhere").await.0, 404);
    let seen = mock.take_observation();
    assert_eq!(seen.requests, 5);
    let race = seen.pages.iter().find(|p| p.path.ends_with("id=3")).unwrap();
    assert_eq!((race.ingestion, race.attempt, race.requests, race.whole), (1, 2, 2, 2));
    assert_eq!(seen.pages.iter().find(|p| p.path.ends_with("id=9")).unwrap().whole, 0);
    assert_eq!(mock.take_observation().requests, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_that_was_cut_is_the_one_before_the_cut() {
    let mock = Liverc::start().await.unwrap();
    mock.serve(1, vec![2], Arc::new(|page| Some(format!("page {page:?}")))).await;
    let path = "/results/?p=view_race_result&id=2";
    assert_eq!(get(&mock, path).await.0, 200);
    let cut_us = crate::clock::monotonic_us();
    // Within the second in which a request may be on its way still.
    mock.set_phase(1, 0);
    assert_eq!(get(&mock, path).await.0, 200);
    mock.answer_was_cut(path, cut_us);
    let whole: Vec<_> = mock.take_observation().pages.iter().map(|p| (p.ingestion, p.whole)).collect();
    assert_eq!(whole, [(0, 0), (1, 1)]);
}

#[test]
fn background_errors_are_as_many_as_asked_for_and_the_same_for_whoever_asks() {
    let draw = |seed| {
        let mut background = Background { share: 0.01, seed, asked: HashMap::new() };
        (0..20_000).filter(|n| background.fails(&format!("/page/{}", n % 500))).collect::<Vec<u32>>()
    };
    assert_eq!(draw(1), draw(1));
    assert!((120..=280).contains(&draw(1).len()), "{} of 20,000", draw(1).len());
    assert_ne!(draw(1), draw(2));
    let mut none = Background { share: 0.0, seed: 1, asked: HashMap::new() };
    assert!((0..1_000).all(|_| !none.fails("/")));
}

#[test]
fn requests_that_overlap_are_in_flight_together() {
    let most = |spans: &[(u64, u64)]| most_at_once(spans.iter().copied());
    assert_eq!(most(&[]), 0);
    assert_eq!(most(&[(5, 5)]), 1);
    assert_eq!(most(&[(0, 10), (10, 20), (20, 20)]), 1);
    assert_eq!(most(&[(0, 10), (9, 20), (2, 5), (3, 4)]), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_flight_are_counted_while_answers_take_time() {
    let mock = Liverc::start().await.unwrap();
    mock.serve(1, vec![5, 6, 7], Arc::new(|page| Some(format!("{page:?}")))).await;
    mock.set_latency(Duration::from_millis(300));
    let path = |race| format!("/results/?p=view_race_result&id={race}");
    let (a, b, c) = (path(5), path(6), path(7));
    tokio::join!(get(&mock, &a), get(&mock, &b), get(&mock, &c));
    assert_eq!(mock.take_observation().max_in_flight, 3);
    get(&mock, &a).await;
    get(&mock, &b).await;
    assert_eq!(mock.take_observation().max_in_flight, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_revision_replaces_every_page() {
    let mock = Liverc::start().await.unwrap();
    for revision in 1..=2 {
        mock.serve(1, vec![5], Arc::new(move |_| Some(format!("revision {revision}")))).await;
        assert_eq!(get(&mock, "/results/?p=view_race_result&id=5").await.1, format!("revision {revision}"));
    }
    assert_eq!(mock.rendered_late(), 0, "race pages are rendered ahead");
}
