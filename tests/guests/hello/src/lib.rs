//! The example of the READMEs, as it stands there; a test compares them.

use stormglass_sdk::{Collector, Metrics, NoConfig, Plugin, Result, collector};

struct Hello;

impl Plugin for Hello {
    type Config = NoConfig;
    fn init(_config: NoConfig) -> Result<Self> {
        Ok(Hello)
    }
}

impl Collector for Hello {
    fn collect(&mut self, out: &mut Metrics) -> Result<()> {
        out.gauge("hello_answer", "The answer.").set(&[("planet", "earth")], 42.0);
        Ok(())
    }
}

collector!(Hello);

#[cfg(test)]
mod tests {
    //! The README's test, and that the READMEs show what is here.

    use stormglass_sdk::{Collector, Metrics, testing};

    use super::Hello;

    #[test]
    fn it_answers() {
        let mut plugin: Hello = testing::init("{}").unwrap();
        let mut out = Metrics::new();
        testing::Host::new().run(|| plugin.collect(&mut out)).unwrap();
        assert_eq!(testing::render(&out), "hello_answer{planet=\"earth\"} 42\n");
    }

    #[test]
    fn the_readmes_show_this_file() {
        for readme in [include_str!("../../../../README.md"), include_str!("../../../../sdk/rust/README.md")]
        {
            let example = readme.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
            assert!(
                include_str!("lib.rs").contains(example),
                "a README's example is not this crate's:\n{example}"
            );
        }
    }
}
