//! The command line: the command and the configuration file. Everything else is a setting.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use clap_complete::Shell;

use crate::config::settings_help;

/// The parsed command line.
#[derive(Clone, Debug, PartialEq, Eq, Parser)]
#[command(
    name = "starlink-telemetry",
    version,
    about = "Prometheus exporter for the Starlink Enterprise telemetry stream",
    long_about = "Prometheus exporter for the Starlink Enterprise telemetry stream.\n\n\
                  It polls the streams of one or more service accounts, keeps the last state of every terminal, and \
                  serves it to Prometheus on /metrics. Without a command it does the same as `run`.",
    after_help = "All settings are environment variables: --help lists them.",
    after_long_help = long_help(),
    disable_help_subcommand = true
)]
pub struct Cli {
    /// The command; `run` if it is absent.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// File with settings, TOML or YAML, their names in lower case
    #[arg(long, global = true, value_name = "PATH")]
    pub config_file: Option<PathBuf>,
}

/// The commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Poll Starlink and serve /metrics (the default)
    Run,
    /// Serve /metrics from a simulated Starlink on this machine, without credentials
    Demo {
        /// Number of simulated accounts, 1 or 2; the second one is suspended
        #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2))]
        accounts: u8,
        /// Also send every row to the destinations of REMOTE_WRITE_URL or REMOTE_WRITE_FILE
        #[arg(long)]
        remote_write: bool,
    },
    /// Validate the settings and print them, without secrets
    CheckConfig {
        /// Also request a token from Starlink, try each part of the inventory, send an empty request to each destination, and print the results
        #[arg(long)]
        connect: bool,
    },
    /// Request /livez of the service on this machine; exit code 0 or 1
    Healthcheck,
    /// Generate shell completions
    Completions {
        /// Which shell
        shell: Shell,
    },
}

/// The end of `--help`: examples, exit codes and settings.
fn long_help() -> String {
    format!(
        "Examples:\n  \
         starlink-telemetry demo\n      \
         Try it without credentials: http://localhost:9100/\n  \
         CLIENT_ID=… CLIENT_SECRET_FILE=/run/secrets/starlink BATCH_SIZE=1000 MAX_LINGER=15000 starlink-telemetry\n      \
         Poll Starlink, with the secret in a file.\n  \
         starlink-telemetry check-config --connect --config-file starlink.toml\n      \
         Check settings and credentials.\n  \
         starlink-telemetry completions bash >/etc/bash_completion.d/starlink-telemetry\n      \
         Install shell completions.\n\n\
         Exit codes: 0 stopped normally, 1 failed to start or unhealthy, 2 wrong settings or command line,\n\
         70 the store or every account kept failing.\n\n\
         Settings are environment variables. Precedence, highest first: the environment, .env in the working directory,\n\
         the configuration file, the defaults. An empty value counts as unset.\n\n{}",
        settings_help().trim_end()
    )
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_valid() {
        Cli::command().debug_assert();
    }

    #[test]
    fn commands_are_parsed() {
        let check = |connect| Some(Command::CheckConfig { connect });
        let demo = |accounts, remote_write| {
            Some(Command::Demo {
                accounts,
                remote_write,
            })
        };
        for (arguments, command, config_file) in [
            (&[][..], None, None),
            (&["run"], Some(Command::Run), None),
            (&["demo"], demo(1, false), None),
            (&["demo", "--accounts", "2"], demo(2, false), None),
            (&["demo", "--remote-write"], demo(1, true), None),
            (&["healthcheck"], Some(Command::Healthcheck), None),
            (
                &["completions", "zsh"],
                Some(Command::Completions { shell: Shell::Zsh }),
                None,
            ),
            (&["check-config"], check(false), None),
            (&["check-config", "--connect"], check(true), None),
            (&["--config-file", "a.toml"], None, Some("a.toml")),
            (
                &["--config-file", "a.toml", "run"],
                Some(Command::Run),
                Some("a.toml"),
            ),
            (
                &["check-config", "--config-file=a.yaml"],
                check(false),
                Some("a.yaml"),
            ),
        ] {
            let cli = parse(arguments).unwrap();
            assert_eq!(cli.command, command, "{arguments:?}");
            assert_eq!(cli.config_file, config_file.map(PathBuf::from));
        }
    }

    #[test]
    fn an_invalid_command_line_exits_with_2() {
        for arguments in [
            &["serve"][..],
            &["--port", "9100"],
            &["run", "--connect"],
            &["demo", "--accounts", "0"],
            &["demo", "--accounts", "3"],
            &["--config-file", ""],
            &["--config-file"],
            &["completions"],
            &["completions", "cmd"],
        ] {
            assert_eq!(
                parse(arguments).unwrap_err().exit_code(),
                2,
                "{arguments:?}"
            );
        }
    }

    #[test]
    fn help_lists_settings_and_examples() {
        let help = Cli::command().render_long_help().to_string();
        let settings = settings_help();
        let place = help.find(settings.trim_end());
        assert!(place > help.find("Examples:") && help.contains("Examples:"));
    }

    fn parse(arguments: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from([&["starlink-telemetry"], arguments].concat())
    }
}
