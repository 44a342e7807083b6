//! wasm-bindgen's command, with the options that our builds and wasm-pack use. It is the same library as in `wasm-bindgen-cli`,
//! which takes three times as long to compile, because it also brings a test runner, a server and a client: docs/decisions/0032. The
//! names in the glue are shorter: docs/decisions/0035.

mod short_names;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use wasm_bindgen_cli_support::Bindgen;

use crate::short_names::ShortNames;

/// What the command line asks for.
#[derive(Debug, Default, PartialEq)]
struct Options {
    input: PathBuf,
    out_dir: PathBuf,
    out_name: String,
    omit_default_module_path: bool,
}

impl Options {
    fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self> {
        let mut options = Self::default();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--out-dir" => options.out_dir = value()?.into(),
                "--out-name" => options.out_name = value()?,
                "--target" => match value()?.as_str() {
                    "web" => {}
                    target => bail!("--target {target} is not built in: use web, or install wasm-bindgen-cli"),
                },
                "--omit-default-module-path" => options.omit_default_module_path = true,
                // types are always written
                "--typescript" => {}
                option if option.starts_with('-') => bail!("{option} is not built in: install wasm-bindgen-cli"),
                input => options.input = input.into(),
            }
        }
        for (name, missing) in [
            ("a Wasm file", options.input.as_os_str().is_empty()),
            ("--out-dir", options.out_dir.as_os_str().is_empty()),
            ("--out-name", options.out_name.is_empty()),
        ] {
            if missing {
                bail!("{name} is missing");
            }
        }
        Ok(options)
    }
}

#[expect(clippy::print_stdout, reason = "the answer to --version")]
fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if arguments == ["--version"] {
        println!("wasm-bindgen {}", wasm_bindgen_shared::version());
        return Ok(());
    }
    let Options { input, out_dir, out_name, omit_default_module_path } = Options::parse(arguments)?;
    let mut output = Bindgen::new()
        .web(true)?
        .input_path(input)
        .typescript(true)
        .out_name(&out_name)
        .omit_default_module_path(omit_default_module_path)
        .generate_output()?;
    let names = ShortNames::give(&mut output);
    output.emit(&out_dir)?;
    names.rewrite(&out_dir.join(format!("{out_name}.js")), &out_dir.join(format!("{out_name}.d.ts")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        Options::parse(line.split(' ').map(str::to_owned))
    }

    #[test]
    fn takes_what_wasm_pack_passes() {
        let options = parse("in.wasm --out-dir out --typescript --target web --out-name core").unwrap();
        let expected =
            Options { input: "in.wasm".into(), out_dir: "out".into(), out_name: "core".into(), ..Options::default() };
        assert_eq!(options, expected);
    }

    #[test]
    fn refuses_what_it_would_ignore() {
        for (line, message) in [
            ("in.wasm --out-dir out --target bundler --out-name core", "--target bundler is not built in"),
            ("in.wasm --out-dir out --debug --out-name core", "--debug is not built in"),
            ("in.wasm --out-dir out", "--out-name is missing"),
            ("in.wasm --out-dir", "--out-dir needs a value"),
            ("--out-dir out --out-name core", "a Wasm file is missing"),
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.starts_with(message), "{line}: {error}");
        }
    }
}
