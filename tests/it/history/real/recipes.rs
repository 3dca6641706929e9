//! The recipes of docs/HISTORY.md: the configurations and command lines that the tests with real receivers use. Only addresses and
//! directories are replaced.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

/// The text of docs/HISTORY.md below a heading, to the next one.
pub struct Recipe(String);

impl Recipe {
    pub fn of(heading: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/HISTORY.md");
        let document = fs::read_to_string(path).unwrap();
        let (_, text) = document.split_once(&format!("# {heading}\n")).unwrap();
        let text = text.split("\n#").next().unwrap();
        Self(text.to_owned())
    }

    /// The first block of YAML with this key.
    pub fn yaml(&self, key: &str) -> String {
        let blocks = self.0.split("```yaml\n").skip(1);
        let mut blocks = blocks.filter_map(|rest| rest.split("```").next());
        let block = blocks.find(|block| block.starts_with(&format!("{key}:\n")));
        block
            .unwrap_or_else(|| panic!("{key} in {}", self.0))
            .to_owned()
    }

    /// The destinations for a server at this address, without the key `remote_write`.
    pub fn destinations(&self, server: SocketAddr) -> String {
        let block = self.yaml("remote_write");
        let block = block.strip_prefix("remote_write:\n").unwrap();
        let (before, url) = block.split_once("url: http://").unwrap();
        let (_, path) = url.split_once('/').unwrap();
        format!("{before}url: http://{server}/{path}")
    }

    /// The flags of a program's command line, which is a block or between backticks, for a program that listens at an address. The values
    /// of some are replaced.
    pub fn flags(
        &self,
        program: &str,
        values: &[(&str, String)],
        address: SocketAddr,
    ) -> Vec<String> {
        let (_, line) = self.0.split_once(&format!("{program} -")).unwrap();
        let line = line.split(['\n', '`']).next().unwrap();
        let mut flags: Vec<_> = format!("-{line}").split(' ').map(str::to_owned).collect();
        for (name, value) in values {
            let beginning = format!("{name}=");
            let flag = flags.iter_mut().find(|flag| flag.starts_with(&beginning));
            *flag.unwrap_or_else(|| panic!("{name} in {line}")) = format!("{beginning}{value}");
        }
        flags.push(format!("-httpListenAddr={address}"));
        flags.push("-memory.allowedBytes=256MB".to_owned());
        flags
    }

    /// The first flag with two dashes that the text names.
    pub fn named_flag(&self) -> String {
        let (_, rest) = self.0.split_once("`--").unwrap();
        let name = rest.split('`').next().unwrap();
        format!("--{name}")
    }
}

/// The name of the only destination in a list.
pub fn name(destinations: &str) -> &str {
    let (_, rest) = destinations.split_once("name: ").unwrap();
    rest.lines().next().unwrap()
}
