//! Items one by one.

use super::{Cursor, Wake};

/// The next item alone; otherwise as [`Next`](super::Next). For subscribers that are served one by one, and may stand inside of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextItem<P> {
    /// The next item; the cursor stands behind it now.
    Item(P),
    /// Nothing new: wait.
    Nothing,
    /// Items after the cursor are no longer kept.
    Lagged {
        /// The newest position.
        head: u64,
    },
    /// What the topic tells of is another one now.
    Replaced,
    /// Nothing will come any more.
    Closed,
}

impl<P: Clone, W: Wake> Cursor<P, W> {
    /// The item that covers what comes after the cursor, which may stand inside of it: then some of it comes twice, and
    /// nothing never. Nothing is allocated.
    pub fn next_item(&mut self) -> NextItem<P> {
        let ring = self.topic.lock();
        if ring.is_closed {
            return NextItem::Closed;
        }
        if ring.generation != self.generation {
            return NextItem::Replaced;
        }
        if self.position >= ring.head {
            return NextItem::Nothing;
        }
        if self.position < ring.base {
            return NextItem::Lagged { head: ring.head };
        }
        let at = ring.items.partition_point(|item| item.upto <= self.position);
        let Some(item) = ring.items.get(at) else { return NextItem::Lagged { head: ring.head } };
        self.position = item.upto;
        NextItem::Item(item.payload.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::topic::{Retained, Topic};

    #[test]
    fn one_by_one_also_from_inside_of_an_item() {
        let retained = Retained { items: 4, weight: 100 };
        let topic = Arc::new(Topic::new(0, retained, ()));
        topic.publish(5, 1, 5);
        topic.publish(9, 1, 9);
        let mut cursor = topic.cursor(3);
        assert_eq!(cursor.next_item(), NextItem::Item(5));
        assert_eq!((cursor.next_item(), cursor.next_item()), (NextItem::Item(9), NextItem::Nothing));
        topic.advance(20);
        assert_eq!(cursor.next_item(), NextItem::Lagged { head: 20 });
        cursor.seek(21);
        assert_eq!(cursor.next_item(), NextItem::Nothing, "it read further than the topic");
        topic.publish(24, 1, 24);
        assert_eq!(cursor.next_item(), NextItem::Item(24));
        topic.close();
        assert_eq!(cursor.next_item(), NextItem::Closed);
    }
}
