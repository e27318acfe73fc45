//! The sync models of this hub: the only list of them.

use crate::{events::EventsState, pages::PagesState, records::RecordsState};

ferry_database::models! {
    pages: Pages(PagesState),
    events: Events(EventsState),
    records: Records(RecordsState),
}
