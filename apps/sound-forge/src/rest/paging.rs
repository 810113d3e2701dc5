//! Lists in pages.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const DEFAULT_PAGE_SIZE: u32 = 20;
const MAX_PAGE_SIZE: u32 = 100;

/// Which page of a list.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Page {
    page: Option<u32>,
    page_size: Option<u32>,
}

impl Page {
    /// How many entries it has at most, and how many come before it.
    pub(super) fn limit_and_offset(self) -> (u32, u64) {
        let size = self.size();
        (size, u64::from(self.number() - 1) * u64::from(size))
    }

    /// The page's answer.
    pub(super) fn answer(self, entries: &impl Serialize, total: u64) -> Value {
        json!({
            "data": entries,
            "meta": {
                "page": self.number(),
                "page_size": self.size(),
                "total_count": total,
                "total_pages": total.div_ceil(u64::from(self.size())),
            },
        })
    }

    fn number(self) -> u32 {
        self.page.unwrap_or(1).max(1)
    }

    fn size(self) -> u32 {
        self.page_size.unwrap_or(DEFAULT_PAGE_SIZE).clamp(1, MAX_PAGE_SIZE)
    }
}
