//! What the authors' talk on GoogLeNet (Szegedy et al., "Going Deeper with Convolutions", ILSVRC workshop, 2014) says of
//! the networks, counted. Where a published count is another, it stands beside, with the reason.
//!
//! Source of published counts: the paper, Szegedy et al. 2014, arXiv:1409.4842, section 1 and table 1.

use std::io::Write;

use crate::model::{self, Cost, Dialect, Layer, Network};
use serde_json::{Value, json};

use crate::command::exit::Outcome;

/// The exact counts behind the claims, each for one image at the network's own side and for 1,000 classes.
pub struct Claims {
    googlenet: Sums,
    /// The parameters of GoogLeNet with both auxiliary heads.
    with_heads: u64,
    krizhevsky: Sums,
    /// Krizhevsky's network, but that every convolution sees all channels.
    ungrouped: Sums,
    /// GoogLeNet's modules, and the naive ones.
    pub modules: Vec<Module>,
}

/// Sums over a network's layers.
struct Sums {
    multiply_adds: u64,
    /// Those of the first convolution.
    first: u64,
    parameters: u64,
    /// Those of the classifier.
    classifier: u64,
}

/// One module of GoogLeNet, and the naive module in its place.
pub struct Module {
    /// The module's name in the paper, `3a`.
    pub name: String,
    /// Output channels of both.
    pub widths: [usize; 2],
    /// Multiply-adds of both.
    pub multiply_adds: [u64; 2],
}

impl Claims {
    /// Counts the networks for the number of classes that published figures are for.
    pub fn new() -> Self {
        let classes = PUBLISHED_CLASSES;
        let googlenet = Dialect::Bvlc.network(classes);
        let naive = Dialect::Naive.network(classes);
        let krizhevsky = Dialect::Krizhevsky.network(classes);
        let mut ungrouped = krizhevsky.clone();
        for layer in &mut ungrouped.layers {
            if let Layer::Conv(conv) = layer {
                conv.groups = 1;
            }
        }
        let shapes = Dialect::Bvlc.network_with_heads(classes).parameters();
        let with_heads = shapes.iter().map(|(_, shape)| shape.iter().product::<usize>() as u64).sum();
        Self {
            with_heads,
            modules: modules([&googlenet, &naive]),
            googlenet: Sums::new(&googlenet),
            krizhevsky: Sums::new(&krizhevsky),
            ungrouped: Sums::new(&ungrouped),
        }
    }

    /// Prints each claim and what is counted.
    pub fn text(&self, out: &mut dyn Write) -> Outcome {
        let millions = |count: u64| count as f64 / 1e6;
        let Self { googlenet, krizhevsky, ungrouped, .. } = self;
        writeln!(out, "\nThe authors' claims, counted for their {PUBLISHED_CLASSES} classes")?;
        writeln!(out, "\"fewer than 1.5 billion operations\"")?;
        writeln!(
            out,
            "  {} multiply-adds: every convolution and the classifier by its definition, at 224x224.",
            googlenet.multiply_adds
        )?;
        writeln!(
            out,
            "  The paper's table 1 adds up to {PUBLISHED_OPERATIONS} M. It gives the first convolution {PUBLISHED_FIRST} M, where \
             7x7 filters of 3"
        )?;
        writeln!(
            out,
            "  channels take {:.1} M for 64 maps of 112x112; all else is {:.1} M here and {} M there.",
            millions(googlenet.first),
            millions(googlenet.multiply_adds - googlenet.first),
            PUBLISHED_OPERATIONS - PUBLISHED_FIRST
        )?;
        writeln!(out, "\"less than twice Krizhevsky's\"")?;
        writeln!(
            out,
            "  {:.2} times its {}, in two groups; {:.2} times the {} that it would take without groups.",
            ratio(googlenet.multiply_adds, krizhevsky.multiply_adds),
            krizhevsky.multiply_adds,
            ratio(googlenet.multiply_adds, ungrouped.multiply_adds),
            ungrouped.multiply_adds
        )?;
        let holds = |other: &Sums| if googlenet.multiply_adds < 2 * other.multiply_adds { "holds" } else { "fails" };
        writeln!(
            out,
            "  So the claim {} in groups, and {} without. Table 1's {PUBLISHED_OPERATIONS} M would be {:.2} times, in groups.",
            holds(krizhevsky),
            holds(ungrouped),
            PUBLISHED_OPERATIONS as f64 / millions(krizhevsky.multiply_adds)
        )?;
        writeln!(out, "\"5 million parameters\"")?;
        writeln!(
            out,
            "  {} with the classifier of {} classes and all biases, {} without the classifier, which leaves",
            googlenet.parameters,
            PUBLISHED_CLASSES,
            googlenet.parameters - googlenet.classifier
        )?;
        writeln!(
            out,
            "  the convolutions; {} with both auxiliary heads, which training alone needs. Table 1 adds up to",
            self.with_heads
        )?;
        writeln!(
            out,
            "  {PUBLISHED_PARAMETERS} M, for {PUBLISHED_CLASSES} classes and without heads. Krizhevsky's {} are {:.1} times as many; the paper's",
            krizhevsky.parameters,
            ratio(krizhevsky.parameters, googlenet.parameters)
        )?;
        writeln!(out, "  \"12 times fewer\" would be {:.2} M.", millions(krizhevsky.parameters) / 12.0)?;
        let widths: Vec<String> = self.modules.iter().map(|module| module.widths[0].to_string()).collect();
        writeln!(out, "widths \"256 to 1024\"")?;
        writeln!(out, "  {}: the channels that the modules put out, from 3a to 5b.", widths.join(", "))?;
        writeln!(out, "the naive module \"does not work\"")?;
        writeln!(
            out,
            "  {:<6} {:>14} {:>14} {:>22} {:>7}",
            "module", "width", "naive width", "naive multiply-adds", "times"
        )?;
        for Module { name, widths: [own, naive], multiply_adds: [own_adds, naive_adds] } in &self.modules {
            let times = ratio(*naive_adds, *own_adds);
            writeln!(out, "  {name:<6} {own:>14} {naive:>14} {naive_adds:>22} {times:>7.1}")?;
        }
        Ok(())
    }

    /// The counts as JSON.
    pub fn json(&self) -> Value {
        let Self { googlenet, krizhevsky, ungrouped, .. } = self;
        let module = |module: &Module| {
            json!({
                "module": module.name,
                "width": module.widths[0],
                "naive_width": module.widths[1],
                "multiply_adds": module.multiply_adds[0],
                "naive_multiply_adds": module.multiply_adds[1],
            })
        };
        json!({
            "classes": PUBLISHED_CLASSES,
            "operations": {
                "multiply_adds": googlenet.multiply_adds,
                "first_convolution": googlenet.first,
                "published_millions": PUBLISHED_OPERATIONS,
                "published_first_convolution_millions": PUBLISHED_FIRST,
            },
            "times_krizhevsky": {
                "with_groups": ratio(googlenet.multiply_adds, krizhevsky.multiply_adds),
                "without_groups": ratio(googlenet.multiply_adds, ungrouped.multiply_adds),
                "krizhevsky_multiply_adds": krizhevsky.multiply_adds,
                "krizhevsky_multiply_adds_without_groups": ungrouped.multiply_adds,
            },
            "parameters": {
                "in_all": googlenet.parameters,
                "without_classifier": googlenet.parameters - googlenet.classifier,
                "with_heads": self.with_heads,
                "published_millions": PUBLISHED_PARAMETERS,
                "times_fewer_than_krizhevsky": ratio(krizhevsky.parameters, googlenet.parameters),
            },
            "modules": self.modules.iter().map(module).collect::<Vec<_>>(),
        })
    }
}

impl Sums {
    fn new(network: &Network) -> Self {
        let layers = model::cost(&network.graph(network.side));
        let classifier =
            layers.iter().find(|layer| layer.name == network.roles.logits).expect("a network's classifier");
        Self {
            multiply_adds: layers.iter().map(|layer| layer.multiply_adds).sum(),
            first: layers[0].multiply_adds,
            parameters: layers.iter().map(|layer| layer.parameters).sum(),
            classifier: classifier.parameters,
        }
    }
}

/// The modules of two networks, which have the same names.
fn modules(networks: [&Network; 2]) -> Vec<Module> {
    let lowered = networks.map(|network| {
        let graph = network.graph(network.side);
        let layers = model::cost(&graph);
        (graph, layers)
    });
    let names = networks[0].layers.iter().filter_map(|layer| match layer {
        Layer::Inception(module) => Some(&module.name),
        _ => None,
    });
    let module = |name: &String| {
        let own = |layer: &&Cost| layer.name.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('/'));
        let sums = lowered.each_ref().map(|(graph, layers)| {
            let width = graph.find(&format!("{name}/output")).expect("a module of both").channels;
            (width, layers.iter().filter(own).map(|layer| layer.multiply_adds).sum())
        });
        let name = name.strip_prefix("inception_").unwrap_or(name).to_owned();
        Module { name, widths: sums.map(|(width, _)| width), multiply_adds: sums.map(|(_, adds)| adds) }
    };
    names.map(module).collect()
}

fn ratio(a: u64, b: u64) -> f64 {
    a as f64 / b as f64
}

/// The number of classes of the paper's table 1.
const PUBLISHED_CLASSES: usize = 1000;
/// The sum of the column "ops" of the paper's table 1, in millions.
const PUBLISHED_OPERATIONS: u64 = 1502;
/// What that column has for the first convolution, in millions.
const PUBLISHED_FIRST: u64 = 34;
/// The sum of the table's column "params", in millions.
const PUBLISHED_PARAMETERS: f64 = 6.8;
