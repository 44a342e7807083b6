//! Data on servers: read as from disk, and what is said where that fails. The servers are real, and fail as they are told.

#![cfg(feature = "remote")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::sync::atomic::{AtomicBool, Ordering};

use common::server::{Asked, Behaviour, Server};
use common::{Folder, Ran, TINY, clipwright, contents, fixture, repository, training};

const MODEL: &str = "models/clip-gelu-p32-laion/open_clip";

/// A folder with the emoji in three shards, `s/0.tar` to `s/2.tar`, and the config of a run.
fn shards() -> Folder {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("s")).unwrap();
    folder.file("run.toml", TINY.replace("epochs = 2", "epochs = 1"));
    let mut builders: Vec<_> = (0..3).map(|_| tar::Builder::new(Vec::new())).collect();
    let mut whole = tar::Archive::new(std::fs::File::open(repository("examples/data/emoji-heldout.tar")).unwrap());
    for (i, entry) in whole.entries().unwrap().take(420).enumerate() {
        let mut entry = entry.unwrap();
        let header = entry.header().clone();
        // an image and its caption follow one another
        builders[i / 140].append(&header, &mut entry).unwrap();
    }
    for (i, builder) in builders.into_iter().enumerate() {
        folder.file(&format!("s/{i}.tar"), builder.into_inner().unwrap());
    }
    folder
}

fn serve(folder: &Folder, behave: impl Fn(&Asked) -> Behaviour + Send + Sync + 'static) -> Server {
    Server::new(&folder.path("s"), behave)
}

/// Trains; returns the run, and the digest of its pairs.
fn train(folder: &Folder, data: &str, more: &[&str]) -> (Ran, String) {
    let logs = folder.path(&format!("logs-{}", std::fs::read_dir(folder.0.path()).unwrap().count()));
    let ran = clipwright(&training([&folder.path("run.toml"), data, &logs], "2", more));
    if ran.code != 0 {
        return (ran, String::new());
    }
    let state = clipwright(&["--json", "info", &format!("{logs}/run/checkpoints/latest.clip")]).expect(0);
    (ran, state.events()[0]["run"].to_string())
}

/// Fails to embed; returns what it says.
fn refused(data: &str, code: i32) -> String {
    let folder = Folder::new();
    let arguments = ["embed", &fixture(MODEL), "--data", data, "--out", &folder.path("out"), "--device", "cpu"];
    clipwright(&arguments).expect(code).stderr
}

#[test]
fn shards_on_a_server_train_and_embed_as_those_on_disk() {
    let folder = shards();
    let local = folder.path("s/{0..2}.tar");
    let server = serve(&folder, |_| Behaviour::default());
    let data = format!("{}/{{0..2}}.tar", server.url);
    // held in memory; read again for each step
    for more in [&["--val-data", &local] as &[&str], &["--image-memory", "0"], &["--augment"]] {
        let (here, of_here) = train(&folder, &local, more);
        let (there, of_there) = train(&folder, &data, more);
        assert_eq!(there.expect(0).losses(), here.expect(0).losses(), "{more:?}");
        assert!(of_here == of_there && of_here.contains("sha256"), "{of_here}");
    }
    let (with_val, _) = train(&folder, &local, &["--val-data", &data]);
    assert_eq!(with_val.expect(0).of("evaluation").len(), 1);

    let embed = |data: &str, out: &str| {
        let arguments = ["embed", &fixture(MODEL), "--data", data, "--out", out, "--texts", "--truncate"];
        clipwright(&[&arguments as &[&str], &["--part-size", "100", "--device", "cpu"]].concat()).expect(0);
        contents(out)
    };
    let there = embed(&data, &folder.path("there"));
    assert!(there == embed(&local, &folder.path("here")) && there.contains_key("1-00000.npy"));
}

#[test]
fn a_broken_connection_goes_on_where_it_was() {
    let folder = shards();
    let (here, _) = train(&folder, &folder.path("s/{0..2}.tar"), &[]);
    let expected = here.expect(0).losses();
    // by requests for the shards: the first is the check, which reads a byte
    type Faults = fn(usize) -> Behaviour;
    let broken: Faults = |n| Behaviour { cut: (n < 4).then_some(40_000), ..Behaviour::default() };
    let busy: Faults = |n| Behaviour { status: (n < 2).then_some(503), ..Behaviour::default() };
    let no_ranges: Faults = |n| Behaviour { ranges: false, cut: (n < 3).then_some(40_000), ..Behaviour::default() };
    let chunks: Faults = |n| Behaviour { length: false, cut: (n < 3).then_some(40_000), ..Behaviour::default() };
    for (name, faults) in [("broken", broken), ("busy", busy), ("no ranges", no_ranges), ("chunks", chunks)] {
        let server = serve(&folder, move |asked| faults(asked.before));
        let (ran, _) = train(&folder, &format!("{}/{{0..2}}.tar", server.url), &[]);
        let ran = ran.expect(0);
        assert_eq!(ran.losses(), expected, "{name}");
        assert!(ran.stderr.contains("tried again in 0.5 s"), "{name}: {}", ran.stderr);
        if name == "broken" {
            // byte by byte on
            let from: Vec<usize> = server.asked("/0.tar").iter().map(|range| range.unwrap().0).collect();
            assert_eq!(from, [0, 0, 40_000, 80_000, 120_000]);
            assert!(ran.stderr.contains("the transfer broke off at byte 40000"), "{}", ran.stderr);
        }
    }
    // images that a server sends no parts of are held, if there is room
    let server = serve(&folder, |_| Behaviour { ranges: false, ..Behaviour::default() });
    let data = format!("{}/{{0..2}}.tar", server.url);
    let losses = |data: &str| train(&folder, data, &["--augment"]).0.expect(0).losses();
    assert_eq!(losses(&data), losses(&folder.path("s/{0..2}.tar")));
    assert_eq!(server.asked("/0.tar").len(), 2);
    let (full, _) = train(&folder, &data, &["--image-memory", "0"]);
    assert!(full.expect(2).stderr.contains("or a server without ranges, does not give a second time"));
}

#[test]
fn what_a_server_does_not_send_is_named() {
    let folder = shards();
    let secret = "sig=5ecret";
    let status = |status: u16, header: Option<(&'static str, &str)>| {
        let headers: Vec<_> = header.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
        serve(&folder, move |_| Behaviour { status: Some(status), headers: headers.clone(), ..Behaviour::default() })
    };
    for (server, expected) in [
        (status(404, None), "0.tar?…: expected a file, got HTTP 404 (AsTold): no such file"),
        (status(403, None), "HTTP 403 (AsTold): it refuses access: check the credentials"),
        (status(302, Some(("location", "/1.tar"))), "redirects: too many redirects"),
        (status(503, Some(("retry-after", "0"))), "0.tar?…: expected a file, got HTTP 503"),
        (
            serve(&folder, |_| Behaviour { headers: vec![("content-encoding", "br".into())], ..Behaviour::default() }),
            "it is sent with Content-Encoding br",
        ),
        (
            // the check is whole
            serve(&folder, |asked| {
                let tag = if asked.before < 2 { "\"1\"" } else { "\"2\"" };
                Behaviour { tag, cut: (asked.before > 0).then_some(40_000), ..Behaviour::default() }
            }),
            "the transfer broke off at byte 40000: the file changed while it was read: start again",
        ),
    ] {
        let stderr = refused(&format!("{}/0.tar?{secret}", server.url), 6);
        assert!(stderr.contains(expected) && !stderr.contains("5ecret"), "{expected}: {stderr}");
    }
    for (data, code, expected) in [
        ("http://127.0.0.1:1/0.tar", 6, "http://127.0.0.1:1/0.tar: "),
        ("http://nowhere.invalid/{0..1}.tar", 6, "http://nowhere.invalid/0.tar: failed to lookup address"),
        ("pipe:curl -s http://a/0.tar", 6, "pipes are not read"),
        ("ftp://a/0.tar", 6, "expected an address of http, https, s3, gs or az, got ftp"),
        ("https://a/folder", 6, "expected a folder, a .tar file, or a table"),
    ] {
        let stderr = refused(data, code);
        assert!(stderr.contains(expected), "{expected}: {stderr}");
    }
    // the archive's own faults are those of files on disk
    std::fs::write(folder.path("s/cut.tar"), &std::fs::read(folder.path("s/0.tar")).unwrap()[..5000]).unwrap();
    folder.file("s/page.tar", "<!doctype html><title>no</title>");
    let server = serve(&folder, |_| Behaviour::default());
    for (name, expected) in [("cut.tar", "truncated tar"), ("page.tar", "expected a tar file, got")] {
        let [there, here] = [format!("{}/{name}", server.url), folder.path(&format!("s/{name}"))].map(|data| {
            let stderr = refused(&data, 5);
            stderr.split_once(name).unwrap().1.to_owned()
        });
        assert!(there == here && here.contains(expected), "{there} {here}");
    }
}

#[test]
fn redirects_packed_files_and_users() {
    let folder = shards();
    let whole = std::fs::read(folder.path("s/0.tar")).unwrap();
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::copy(&mut whole.as_slice(), &mut packer).unwrap();
    folder.file("s/packed.tar", packer.finish().unwrap());
    let (here, of_here) = train(&folder, &folder.path("s/0.tar"), &[]);
    let expected = here.expect(0).losses();
    let server = serve(&folder, |asked| {
        let user = asked.headers.get("authorization").map(String::as_str);
        let told = |status, name, value: &str| Behaviour {
            status,
            headers: vec![(name, value.into())],
            ..Behaviour::default()
        };
        match asked.target.as_str() {
            "/moved.tar" => told(Some(307), "location", "/0.tar"),
            "/packed.tar" => told(None, "content-encoding", "gzip"),
            // me:5ecret
            "/0.tar?user" if user != Some("Basic bWU6NWVjcmV0") => told(Some(401), "x", ""),
            _ => Behaviour::default(),
        }
    });
    let with_user = server.url.replace("//", "//me:5ecret@") + "/0.tar?user";
    for data in [format!("{}/moved.tar", server.url), format!("{}/packed.tar", server.url), with_user] {
        let logs = folder.path("logs-of-user");
        let ran = clipwright(&training([&folder.path("run.toml"), &data, &logs], "2", &[])).expect(0);
        assert_eq!(ran.losses(), expected, "{data}");
        let state = clipwright(&["--json", "info", &format!("{logs}/run/checkpoints/latest.clip")]).expect(0);
        assert_eq!(state.events()[0]["run"].to_string(), of_here);
        for name in ["settings.json", "checkpoints/latest.clip", "steps.csv"] {
            let file = std::fs::read(format!("{logs}/run/{name}")).unwrap();
            assert!(!file.windows(7).any(|seven| seven == b"5ecret@" || seven == b"0.tar?u"), "{name}");
        }
        assert!(!ran.stdout.contains("5ecret") && !ran.stderr.contains("5ecret"));
        std::fs::remove_dir_all(logs).unwrap();
    }
}

#[test]
fn tables_name_images_on_servers() {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.path("s/i")).unwrap();
    folder.file("run.toml", TINY.replace("batchSize = 64", "batchSize = 2"));
    for name in ["0.png", "1.png"] {
        let to = folder.path(&format!("s/i/{name}"));
        std::fs::copy(fixture(&format!("cases/split-metadata/test/{name}")), to).unwrap();
    }
    let is_down = std::sync::Arc::new(AtomicBool::new(false));
    let server = serve(&folder, {
        let is_down = is_down.clone();
        move |asked| {
            let is_image = asked.target.ends_with(".png?k=5ecret");
            let is_lost = is_image && is_down.load(Ordering::Relaxed);
            Behaviour { status: is_lost.then_some(503), ..Behaviour::default() }
        }
    });
    let rows = |place: &str| {
        let table = format!("file_name,text\n{place}i/0.png,one\n{place}i\\1.png,two\n{place}i/gone.png,three\n");
        folder.file("s/table.csv", &table);
        table
    };
    rows("");
    let skip = ["--bad-pairs", "skip"];
    let (here, of_here) = train(&folder, &folder.path("s/table.csv"), &skip);
    let expected = here.expect(0).losses();
    let (there, of_there) = train(&folder, &format!("{}/table.csv?k=5ecret", server.url), &skip);
    let there = there.expect(0);
    assert_eq!((there.losses(), of_there), (expected.clone(), of_here));
    let skipped = &there.of("skipped")[0];
    assert_eq!((&skipped["key"], &skipped["code"]), (&"i/gone.png".into(), &"source-unreadable".into()));
    // the query of the table is its neighbours', and a server tells what \ is
    assert_eq!(server.asked("/i/0.png").len(), 1);
    assert!(server.log.lock().unwrap().iter().any(|(target, _)| target == "/i/1.png?k=5ecret"));
    // a table on disk may name images by address
    let table = folder.file("far.csv", rows(&format!("{}/", server.url)).replace('\\', "/"));
    for more in [&skip as &[&str], &["--bad-pairs", "skip", "--image-memory", "0"]] {
        let (far, _) = train(&folder, &table, more);
        assert_eq!(far.expect(0).losses(), expected, "{more:?}");
    }
    // a server that fails is a bad pair after three tries
    is_down.store(true, Ordering::Relaxed);
    rows("");
    let (down, _) = train(&folder, &format!("{}/table.csv?k=5ecret", server.url), &[]);
    let down = down.expect(6);
    assert!(down.stderr.contains("pair 0 (i/0.png)") && !down.stderr.contains("5ecret"), "{}", down.stderr);
    assert!(server.asked("/i/0.png").len() >= 4);
}

#[test]
fn a_server_that_is_down_costs_no_images() {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.path("s")).unwrap();
    let image = std::fs::read(fixture("cases/split-metadata/test/0.png")).unwrap();
    let table = |name: &str, images: usize| {
        let rows: String = (0..images).map(|i| format!("{i:02}.png,image {i}\n")).collect();
        folder.file(&format!("s/{name}"), format!("file_name,text\n{rows}"));
    };
    for i in 0..40 {
        folder.file(&format!("s/{i:02}.png"), &image);
    }
    table("all.csv", 40);
    table("three.csv", 3);
    let is_down = std::sync::Arc::new(AtomicBool::new(true));
    let server = serve(&folder, {
        let is_down = is_down.clone();
        move |asked| {
            let is_lost =
                asked.target.ends_with(".png") && asked.target != "/00.png" && is_down.load(Ordering::Relaxed);
            let headers = vec![("retry-after", "0".into())];
            Behaviour { status: is_lost.then_some(503), headers, ..Behaviour::default() }
        }
    });
    let embed = |name: &str, code: i32| {
        let (data, out) = (format!("{}/{name}", server.url), folder.path(&format!("out-{name}")));
        let arguments = ["embed", &fixture(MODEL), "--data", &data, "--out", &out, "--device", "cpu"];
        clipwright(&[&arguments as &[&str], &["--bad-pairs", "skip"]].concat()).expect(code)
    };
    let stderr = embed("all.csv", 6).stderr;
    assert!(stderr.contains("32 images in a row could not be read from servers, at last"), "{stderr}");
    assert!(
        stderr.contains("32.png: expected a file, got HTTP 503") && stderr.contains("run the same command"),
        "{stderr}"
    );
    // a few dead links among others are bad pairs
    assert!(embed("three.csv", 0).stdout.contains("1 embeddings, 2 skipped"));
    is_down.store(false, Ordering::Relaxed);
    assert!(embed("all.csv", 0).stdout.contains("40 embeddings;"));
    is_down.store(true, Ordering::Relaxed);
    folder.file("s/two.csv", "file_name,text\n01.png,one\n02.png,two\n");
    assert!(embed("two.csv", 6).stderr.contains("2 images in a row could not be read"));
}
