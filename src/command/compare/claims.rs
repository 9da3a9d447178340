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

    /// Prints each claim, what is counted, and whether the claim holds.
    pub fn text(&self, out: &mut dyn Write) -> Outcome {
        self.operations(out)?;
        self.parameters(out)?;
        let widths: Vec<String> = self.modules.iter().map(|module| module.widths[0].to_string()).collect();
        writeln!(out, "widths \"256 to 1024\": {}", verdict(self.widths_hold()))?;
        writeln!(out, "  {}: the channels that the modules put out, from 3a to 5b.", widths.join(", "))?;
        let [own, naive] = self.module_sums();
        writeln!(out, "the naive module \"does not work\": {} of its cost", verdict(naive > own))?;
        writeln!(
            out,
            "  Its modules take {:.1} times the multiply-adds of GoogLeNet's. How well it would learn is not tried here.",
            ratio(naive, own)
        )?;
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

    fn operations(&self, out: &mut dyn Write) -> Outcome {
        let Self { googlenet, krizhevsky, ungrouped, .. } = self;
        let (all, rest) = (googlenet.multiply_adds, googlenet.multiply_adds - googlenet.first);
        let inferred = self.inferred_first();
        writeln!(out, "\nThe authors' claims, counted for their {PUBLISHED_CLASSES} classes")?;
        writeln!(
            out,
            "\"fewer than 1.5 billion operations\": {}, {} with the first convolution as table 1 seems to count it",
            verdict(all < CLAIMED_OPERATIONS),
            verdict(rest + inferred < CLAIMED_OPERATIONS)
        )?;
        writeln!(
            out,
            "  {all} multiply-adds: every convolution and the classifier by its definition, at 224x224.\n  \
             The paper's table 1 adds up to {PUBLISHED_OPERATIONS} M. It gives the first convolution \
             {PUBLISHED_FIRST} M, where 7x7 filters of 3\n  \
             channels take {:.1} M for 64 maps of 112x112; all else is {:.1} M here and {} M there.",
            millions(googlenet.first),
            millions(rest),
            PUBLISHED_OPERATIONS - PUBLISHED_FIRST
        )?;
        writeln!(
            out,
            "  Inferred, not stated there: the table's 2.7 K parameters of that layer are 64 x 3 x (7 + 7) = {INFERRED_PARAMETERS}, those \
             of a\n  \
             7x1 and a 1x7 convolution, and times 112 x 112 they make {:.1} M. With these GoogLeNet takes {:.1} M.",
            millions(inferred),
            millions(rest + inferred)
        )?;
        let holds = |other: &Sums| verdict(all < 2 * other.multiply_adds);
        writeln!(
            out,
            "\"less than twice Krizhevsky's\": {} in groups, {} without",
            holds(krizhevsky),
            holds(ungrouped)
        )?;
        writeln!(
            out,
            "  {:.2} times its {}, in two groups; {:.2} times the {} that it would take without groups.\n  \
             Table 1's {PUBLISHED_OPERATIONS} M would be {:.2} times, in groups.",
            ratio(all, krizhevsky.multiply_adds),
            krizhevsky.multiply_adds,
            ratio(all, ungrouped.multiply_adds),
            ungrouped.multiply_adds,
            PUBLISHED_OPERATIONS as f64 / millions(krizhevsky.multiply_adds)
        )?;
        Ok(())
    }

    fn parameters(&self, out: &mut dyn Write) -> Outcome {
        let Self { googlenet, krizhevsky, .. } = self;
        let convolutions = googlenet.parameters - googlenet.classifier;
        let [all, without] = [googlenet.parameters, convolutions].map(|count| verdict(is_claimed(count)));
        writeln!(out, "\"5 million parameters\": {all} in all, {without} without the classifier")?;
        writeln!(
            out,
            "  {} with the classifier of {PUBLISHED_CLASSES} classes and all biases, {convolutions} without the \
             classifier, which leaves\n  \
             the convolutions; neither rounds to 5 million. {} with both auxiliary heads, which training alone\n  \
             needs. Table 1 adds up to {PUBLISHED_PARAMETERS} M, for {PUBLISHED_CLASSES} classes and without heads.",
            googlenet.parameters, self.with_heads
        )?;
        let fewer = krizhevsky.parameters >= 12 * googlenet.parameters;
        writeln!(out, "\"12 times fewer\" parameters than Krizhevsky's, in the paper: {}", verdict(fewer))?;
        writeln!(
            out,
            "  Its {} are {:.1} times as many; 12 times fewer would be {:.2} M.",
            krizhevsky.parameters,
            ratio(krizhevsky.parameters, googlenet.parameters),
            millions(krizhevsky.parameters) / 12.0
        )?;
        Ok(())
    }

    /// The multiply-adds of the first convolution as the paper's table 1 seems to count them.
    fn inferred_first(&self) -> u64 {
        // Each of the layer's 64 * 3 * 49 weights is used once at each of its positions.
        self.googlenet.first / (64 * 3 * 49) * INFERRED_PARAMETERS
    }

    /// Whether the modules' widths begin at 256, end at 1024, and never fall.
    fn widths_hold(&self) -> bool {
        let widths: Vec<usize> = self.modules.iter().map(|module| module.widths[0]).collect();
        widths.first() == Some(&256) && widths.last() == Some(&1024) && widths.is_sorted()
    }

    /// The multiply-adds of all of GoogLeNet's modules, and of all naive ones.
    fn module_sums(&self) -> [u64; 2] {
        [0, 1].map(|which| self.modules.iter().map(|module| module.multiply_adds[which]).sum())
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
        let (all, rest) = (googlenet.multiply_adds, googlenet.multiply_adds - googlenet.first);
        let inferred = self.inferred_first();
        let convolutions = googlenet.parameters - googlenet.classifier;
        json!({
            "classes": PUBLISHED_CLASSES,
            "operations": {
                "holds": all < CLAIMED_OPERATIONS,
                "holds_with_first_convolution_inferred": rest + inferred < CLAIMED_OPERATIONS,
                "multiply_adds": all,
                "first_convolution": googlenet.first,
                "published_millions": PUBLISHED_OPERATIONS,
                "published_first_convolution_millions": PUBLISHED_FIRST,
                "first_convolution_inferred": inferred,
            },
            "times_krizhevsky": {
                "holds_with_groups": all < 2 * krizhevsky.multiply_adds,
                "holds_without_groups": all < 2 * ungrouped.multiply_adds,
                "with_groups": ratio(googlenet.multiply_adds, krizhevsky.multiply_adds),
                "without_groups": ratio(googlenet.multiply_adds, ungrouped.multiply_adds),
                "krizhevsky_multiply_adds": krizhevsky.multiply_adds,
                "krizhevsky_multiply_adds_without_groups": ungrouped.multiply_adds,
            },
            "parameters": {
                "holds_in_all": is_claimed(googlenet.parameters),
                "holds_without_classifier": is_claimed(convolutions),
                "holds_12_times_fewer": krizhevsky.parameters >= 12 * googlenet.parameters,
                "in_all": googlenet.parameters,
                "without_classifier": convolutions,
                "with_heads": self.with_heads,
                "published_millions": PUBLISHED_PARAMETERS,
                "times_fewer_than_krizhevsky": ratio(krizhevsky.parameters, googlenet.parameters),
            },
            "widths": { "holds": self.widths_hold() },
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

/// Whether a count of parameters is "5 million", in whole millions.
fn is_claimed(parameters: u64) -> bool {
    (4_500_000..5_500_000).contains(&parameters)
}

fn verdict(holds: bool) -> &'static str {
    if holds { "holds" } else { "fails" }
}

fn millions(count: u64) -> f64 {
    count as f64 / 1e6
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
/// What its column "params" seems to have for it, by its 2.7 K: the weights of 7x1 and 1x7 filters of 3 channels, without
/// biases. The paper does not say so; [`PUBLISHED_FIRST`] is their product with the 112x112 positions of the maps.
const INFERRED_PARAMETERS: u64 = 64 * 3 * (7 + 7);
/// The operations that the talk claims to stay below.
const CLAIMED_OPERATIONS: u64 = 1_500_000_000;
/// The sum of the table's column "params", in millions.
const PUBLISHED_PARAMETERS: f64 = 6.8;
