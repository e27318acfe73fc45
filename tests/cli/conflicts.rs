//! Two editors of one database: the advice in the error of the second one works, whichever option is taken.

use std::fs;

use ferry_testkit::{
    command::{Ferry, names},
    dump::{assert_equal, dump},
    sample::Shape,
};

use super::sync::{run, second_machine};
use crate::support::Place;

/// One machine has pushed version 2; the other one has edited its copy of version 1.
struct Editors {
    place: Place,
    first: Ferry,
    second: Ferry,
}

impl Editors {
    fn new() -> Self {
        let place = Place::new();
        let (first, second) = (second_machine(&place.hub), second_machine(&place.hub));
        Shape::default().create(&first.file("app.db"), 200, 1);
        first.ok(&["push", "app.db", "app"]);
        second.ok(&["clone", "app", "copy.db"]);
        Self { place, first, second }
    }

    fn edit_both(&self) {
        run(&self.first.file("app.db"), "UPDATE item SET name = name || ' theirs' WHERE id = 1");
        self.first.ok(&["push", "app.db"]);
        run(&self.second.file("copy.db"), "UPDATE item SET name = name || ' mine' WHERE id = 2");
    }

    /// Runs what a message says after `before`, up to the parenthesis.
    fn follow(&self, message: &str, before: &str) {
        let command = message.split_once(before).unwrap_or_else(|| panic!("no {before:?} in {message}")).1;
        let command = command.split_once(" (").expect("what it costs is told").0;
        let words: Vec<&str> = command.strip_prefix("ferry ").expect("a command").split(' ').collect();
        self.second.ok(&words);
    }

    fn theirs_is_there(&self) {
        assert_equal(&self.first.file("app.db"), &self.second.file("copy.db"));
    }
}

/// A pull from an empty database into a file that holds something proposed `pull --force` and `clone`, which both failed
/// with "the database is empty".
// Verifies: PAG-65
#[test]
fn pulling_an_empty_database_advises_a_push_that_works() {
    let place = Place::new();
    let ferry = second_machine(&place.hub);
    ferry.ok(&["db", "create", "e"]);
    Shape::default().create(&ferry.file("q.db"), 20, 1);
    let before = dump(&ferry.file("q.db"));
    for arguments in [&["pull", "e", "q.db"][..], &["pull", "e", "q.db", "--force"]] {
        let stderr = ferry.fails(6, arguments);
        assert!(stderr.contains("e is empty") && stderr.contains("ferry push q.db e"), "{stderr}");
        assert!(!stderr.contains("ferry pull") && !stderr.contains("ferry clone"), "{stderr}");
    }
    assert_eq!(dump(&ferry.file("q.db")), before);
    assert_eq!(names(&ferry.files()), ["q.db"], "nothing was saved, since nothing was to be replaced");
    ferry.ok(&["push", "q.db", "e"]);
    ferry.ok(&["clone", "e", "copy.db"]);
    assert_equal(&ferry.file("q.db"), &ferry.file("copy.db"));
}

/// What was said was "database not found" alone.
// Verifies: CLI-06
#[test]
fn swapped_file_and_database_arguments_are_recognised() {
    let place = Place::new();
    let ferry = second_machine(&place.hub);
    Shape::default().create(&ferry.file("mine.db"), 20, 1);
    ferry.ok(&["push", "mine.db", "app"]);
    std::fs::remove_file(ferry.file("mine.db-ferry")).unwrap();
    let stderr = ferry.fails(5, &["pull", "mine.db"]);
    assert!(stderr.contains("was not synced yet") && stderr.contains("ferry pull DB mine.db"), "{stderr}");
    ferry.ok(&["pull", "app", "mine.db"]);
    for verb in ["clone", "pull"] {
        let stderr = ferry.fails(5, &[verb, "copy.db", "app"]);
        assert!(stderr.contains(&format!("ferry {verb} app copy.db")), "{stderr}");
        let stderr = ferry.fails(5, &[verb, "copy.db", "nothing"]);
        assert!(!stderr.contains("the database comes first"), "{stderr}");
    }
    ferry.ok(&["clone", "app", "copy.db"]);
}

/// `push` said "pull first, or push --force", and `pull` said "push it, or pull --force": whoever followed them went in a
/// circle, and neither said what a force costs.
// Verifies: PAG-63, PAG-65
#[test]
fn both_resolutions_of_a_conflict_are_advised_and_work() {
    for verb in ["push", "pull"] {
        let editors = Editors::new();
        editors.edit_both();
        let (file, mine) = (editors.second.file("copy.db"), dump(&editors.second.file("copy.db")));
        let refused = || editors.second.fails(6, &[verb, "copy.db"]);
        let stderr = refused();
        assert!(stderr.contains("1-") && stderr.contains("2-"), "both tags are named: {stderr}");
        assert!(stderr.contains("copy.db.ferry-TIME.bak"), "where the file's edits would be kept: {stderr}");
        assert!(stderr.contains("ferry clone app OTHER-FILE"), "how the hub's edits can be kept: {stderr}");
        assert!(dump(&file) == mine, "a refusal changes nothing");

        editors.second.ok(&["clone", "app", "kept.db"]);
        editors.follow(&stderr, "To have yours: ");
        assert_eq!(editors.place.user.seq(&editors.place.database), 3);
        assert!(dump(&file) == mine);
        assert_equal(&editors.second.file("kept.db"), &editors.first.file("app.db"));

        editors.first.ok(&["pull", "app.db"]);
        editors.edit_both();
        let mine = dump(&file);
        editors.follow(&refused(), "To have the hub's: ");
        editors.theirs_is_there();
        let kept = names(&editors.second.files()).into_iter().find(|name| name.ends_with(".bak"));
        assert!(dump(&editors.second.file(&kept.expect("the edits are kept"))) == mine);
    }
}

// Verifies: PAG-63, PAG-65
#[test]
fn a_resolution_without_data_loss_is_advised() {
    let editors = Editors::new();
    // Only the hub has moved on.
    run(&editors.first.file("app.db"), "UPDATE item SET name = 'theirs' WHERE id = 1");
    editors.first.ok(&["push", "app.db"]);
    let stderr = editors.second.fails(6, &["push", "copy.db"]);
    assert!(stderr.contains("copy.db is still 1-") && stderr.contains("nothing is lost"), "{stderr}");
    editors.follow(&stderr, "To have the hub's: ");
    editors.theirs_is_there();
    // Only the file has.
    run(&editors.second.file("copy.db"), "UPDATE item SET name = 'mine' WHERE id = 2");
    let stderr = editors.second.fails(6, &["pull", "copy.db"]);
    assert!(stderr.contains("nothing is lost") && stderr.contains(".bak"), "{stderr}");
    editors.follow(&stderr, "To keep the changes: ");
    editors.first.ok(&["pull", "app.db"]);
    editors.theirs_is_there();
    // Nobody knows.
    fs::remove_file(editors.second.file("copy.db-ferry")).unwrap();
    run(&editors.second.file("copy.db"), "UPDATE item SET name = 'again' WHERE id = 2");
    for verb in ["push", "pull"] {
        let both = if verb == "push" { ["push", "copy.db", "app"] } else { ["pull", "app", "copy.db"] };
        let stderr = editors.second.fails(6, &both);
        for way in ["ferry pull app copy.db --force", "ferry clone app", "ferry push copy.db app --force"] {
            assert!(stderr.contains(way), "{way}: {stderr}");
        }
    }
}

/// A push that changed nothing but how often its file was written made a new version, and everybody else's edits a
/// conflict with it.
// Verifies: PAG-63
#[test]
fn a_push_that_changed_nothing_blocks_nobody() {
    let editors = Editors::new();
    let file = editors.first.file("app.db");
    // Two commits that end where they began: SQLite has counted them on page 1.
    run(&file, "PRAGMA user_version=2; PRAGMA user_version=1");
    assert_eq!(editors.place.push(&file).pages, 1);
    assert_eq!(editors.place.user.seq(&editors.place.database), 2);
    run(&editors.second.file("copy.db"), "UPDATE item SET name = 'mine' WHERE id = 2");
    editors.second.ok(&["push", "copy.db"]);
    assert_eq!(editors.place.user.seq(&editors.place.database), 3);
    editors.first.ok(&["pull", "app", "app.db"]);
    editors.theirs_is_there();
}
