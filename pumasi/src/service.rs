//! The house as the console sees and steers it.

use pumasi_console::{Drain, Service, Setting, load::LoadTests};
use pumasi_status::Status;

use crate::house::House;

impl Service for House {
    fn status(&self) -> Status {
        House::status(self)
    }

    fn configuration(&self) -> Vec<Setting> {
        let shown = |(setting, origin): (pumasi_config::Setting, String)| Setting {
            path: setting.path,
            value: setting.value.unwrap_or_else(|| setting.unset.unwrap_or_default().to_owned()),
            origin,
        };
        self.settings().into_iter().map(shown).collect()
    }

    fn reload(&self) -> Result<String, String> {
        House::reload(self).map_err(|failure| failure.to_string())
    }

    fn load_tests(&self) -> Option<&dyn LoadTests> {
        Some(self)
    }

    fn purge(&self, _prefix: &str) -> Result<String, String> {
        Err("this version keeps no pages".into())
    }

    fn drain(&self, upstream: &str, drain: Drain) -> Result<String, String> {
        House::drain(self, upstream, drain == Drain::Back)
    }
}
