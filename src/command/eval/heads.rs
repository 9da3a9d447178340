//! Auxiliary heads as evidence: how often each is right beside the trunk's own classifier and beside the mean of them
//! all, and on which pictures they are split.
//!
//! An opinion is what one of these makes of a picture. The opinions of a picture are, in this order: `main`, of the
//! trunk; one of each auxiliary head; `mean`, of the mean of all their probabilities, each weighted equally, as the
//! authors gave no weights. (In training the heads' losses counted 0.3: Szegedy et al. 2014, arXiv:1409.4842,
//! section 5.)

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use crate::{Ensemble, Model};
use serde_json::{Value, json};

use super::journal::{Opinion, Verdict};
use super::truth::Picture;
use crate::command::caller::say;
use crate::command::exit::Outcome;
use crate::command::labels::Label;
use crate::command::printable::Printable;

/// The heads that every one of `models`, whose files are `paths`, has and can run. Of a head that only some of them have
/// or can run, stderr is told why it is left out.
pub fn common(models: &[Model], paths: &[PathBuf]) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = Vec::new();
    for name in models.iter().flat_map(|model| model.network().head_names()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let path = |index: usize| paths.get(index).map(|path| path.display().to_string()).unwrap_or_default();
    names.retain(|name| {
        let obstacle = models.iter().enumerate().find_map(|(index, model)| {
            let (network, side, path) = (model.network(), model.side(), path(index));
            if !network.head_names().contains(name) {
                Some(format!("{path} does not have it"))
            } else if !network.head_fits(name, side) {
                Some(format!("{path} is for the input side {side}, and the head for {}", network.side))
            } else {
                None
            }
        });
        if let Some(why) = &obstacle {
            say(format_args!("note: the auxiliary head {name} is left out: {}", Printable(why)));
        }
        obstacle.is_none()
    });
    names
}

/// The names of opinions, where there are the auxiliary heads `heads`; without heads there is only the trunk's.
pub fn names(heads: &[&str]) -> Vec<String> {
    let heads = heads.iter().copied();
    let names: Vec<&str> = match heads.len() {
        0 => vec![MAIN],
        _ => [MAIN].into_iter().chain(heads).chain([MEAN]).collect(),
    };
    names.into_iter().map(str::to_owned).collect()
}

/// The probabilities on which each opinion rests, for the picture that `ensemble` looked at last, whose trunk gave
/// `main`.
pub fn probabilities(ensemble: &Ensemble, main: Vec<f32>, heads: &[&str]) -> Vec<Vec<f32>> {
    let of_head = |name: &&str| ensemble.head_probabilities(name).expect("it was asked for").to_vec();
    let mut all: Vec<Vec<f32>> = [main].into_iter().chain(heads.iter().map(of_head)).collect();
    if !heads.is_empty() {
        let mean = |class: usize| all.iter().map(|one| f64::from(one[class])).sum::<f64>() / all.len() as f64;
        let mean = (0..ensemble.classes()).map(|class| mean(class) as f32).collect();
        all.push(mean);
    }
    all
}

/// What is counted of the opinions; `None` stands for weights without heads.
pub struct Heads {
    names: Vec<String>,
    judged: usize,
    /// The counts of each opinion over all pictures.
    counts: Vec<Count>,
    /// The counts of each opinion over the pictures of a class.
    classes: BTreeMap<usize, Vec<Count>>,
    /// For each two opinions, the number of pictures for which both have the same likeliest class.
    agreement: Vec<Vec<usize>>,
    main_right_mean_wrong: usize,
    mean_right_main_wrong: usize,
    /// The pictures of which the trunk and the heads do not all have the same likeliest class, the surest first.
    split: Vec<Split>,
}

/// How often an opinion was right.
#[derive(Clone, Copy, Default)]
struct Count {
    /// The number of pictures whose own class was the likeliest.
    first: usize,
    /// The number of pictures whose own class was among the five likeliest.
    fifth: usize,
    /// The sum of the confidences in the likeliest class.
    confidence: f64,
}

/// A picture on which the trunk and the heads are split.
struct Split {
    image: String,
    class: usize,
    /// The likeliest class of each opinion, and the confidence in it.
    opinions: Vec<(usize, f64)>,
}

impl Heads {
    /// Counts the opinions called `names` of the pictures that could be read.
    pub fn new(pictures: &[Picture], verdicts: &[Verdict], names: Vec<String>) -> Option<Self> {
        let count = names.len();
        if count == 1 {
            return None;
        }
        let mut heads = Self {
            names,
            judged: 0,
            counts: vec![Count::default(); count],
            classes: BTreeMap::new(),
            agreement: vec![vec![0; count]; count],
            main_right_mean_wrong: 0,
            mean_right_main_wrong: 0,
            split: Vec::new(),
        };
        for (picture, verdict) in pictures.iter().zip(verdicts) {
            if let Verdict::Classes(opinions) = verdict {
                heads.add(picture, opinions);
            }
        }
        heads.split.sort_by(|a, b| b.sureness().total_cmp(&a.sureness()).then_with(|| a.image.cmp(&b.image)));
        Some(heads)
    }

    fn add(&mut self, picture: &Picture, opinions: &[Opinion]) {
        self.judged += 1;
        let of_class = self.classes.entry(picture.class).or_insert_with(|| vec![Count::default(); opinions.len()]);
        for (index, opinion) in opinions.iter().enumerate() {
            for count in [&mut self.counts[index], &mut of_class[index]] {
                count.first += usize::from(opinion.top[0] == picture.class);
                count.fifth += usize::from(opinion.top.iter().take(5).any(|&class| class == picture.class));
                count.confidence += opinion.confidence;
            }
            for (other, counted) in opinions.iter().zip(&mut self.agreement[index]) {
                *counted += usize::from(opinion.top[0] == other.top[0]);
            }
        }
        let first: Vec<(usize, f64)> = opinions.iter().map(|opinion| (opinion.top[0], opinion.confidence)).collect();
        let (&(main, _), &(mean, _)) = (first.first().expect("of the trunk"), first.last().expect("of all"));
        self.main_right_mean_wrong += usize::from(main == picture.class && mean != picture.class);
        self.mean_right_main_wrong += usize::from(mean == picture.class && main != picture.class);
        if first[..first.len() - 1].iter().any(|&(class, _)| class != main) {
            let image = picture.path.display().to_string();
            self.split.push(Split { image, class: picture.class, opinions: first });
        }
    }

    /// Writes what is counted as tables for people, and the surest disagreements.
    pub fn text(&self, labels: &[Label], out: &mut dyn Write) -> Outcome {
        let label = |class: usize| Printable(labels.get(class).map_or("", |label| label.text.as_str()));
        let judged = self.judged as f64;
        let percent = |count: usize| 100.0 * count as f64 / judged;
        let averaged = self.names.len() - 1;
        if !self.split.is_empty() {
            writeln!(out, "\nwhere heads are the surest of different classes")?;
        }
        for split in self.split.iter().take(SHOWN) {
            let row = format!("{}  {:5}  {}", Printable(&split.image), split.class, label(split.class));
            writeln!(out, "{}", row.trim_end())?;
            for (name, &(class, confidence)) in self.names.iter().zip(&split.opinions) {
                let right = if class == split.class { '=' } else { ' ' };
                let row = format!("     {right} {name:<8} {:6.2} %  {class:5}  {}", 100.0 * confidence, label(class));
                writeln!(out, "{}", row.trim_end())?;
            }
        }
        writeln!(out, "\nheads; mean is that of the probabilities of the {averaged}, weighted equally")?;
        writeln!(out, "{:<8}  {:>17}  {:>17}  {:>10}", "", "top-1", "top-5", "confidence")?;
        for (name, count) in self.names.iter().zip(&self.counts) {
            let cell = |count: usize| format!("{:6.2} %  {count:7}", percent(count));
            let confidence = 100.0 * count.confidence / judged;
            writeln!(out, "{name:<8}  {}  {}  {confidence:8.2} %", cell(count.first), cell(count.fifth))?;
        }
        writeln!(out, "\npictures for which two of them name the same class")?;
        let row = |cells: Vec<String>| cells.iter().map(|cell| format!("  {cell:>8}")).collect::<String>();
        writeln!(out, "{:<8}{}", "", row(self.names.clone()))?;
        for (name, counts) in self.names.iter().zip(&self.agreement) {
            writeln!(out, "{name:<8}{}", row(counts.iter().map(usize::to_string).collect()))?;
        }
        writeln!(out, "split                   {:6.2} %  {:7}", percent(self.split.len()), self.split.len())?;
        writeln!(
            out,
            "main right, mean wrong  {:6.2} %  {:7}",
            percent(self.main_right_mean_wrong),
            self.main_right_mean_wrong
        )?;
        writeln!(
            out,
            "mean right, main wrong  {:6.2} %  {:7}",
            percent(self.mean_right_main_wrong),
            self.mean_right_main_wrong
        )?;
        Ok(())
    }

    /// What is counted as a JSON object, with every picture on which the heads are split.
    pub fn json(&self, labels: &[Label]) -> Value {
        let label = |class: usize| labels.get(class).map(|label| label.text.as_str());
        let share = |count: usize| count as f64 / self.judged as f64;
        let opinion = |(name, count): (&String, &Count)| {
            let confidence = count.confidence / self.judged as f64;
            json!({ "name": name, "top1": share(count.first), "top5": share(count.fifth), "confidence": confidence })
        };
        let split = |split: &Split| {
            let opinion = |(name, &(class, confidence)): (&String, &(usize, f64))| json!({ "name": name, "class": class, "label": label(class), "confidence": confidence });
            json!({
                "image": split.image, "class": split.class, "label": label(split.class),
                "opinions": self.names.iter().zip(&split.opinions).map(opinion).collect::<Vec<_>>(),
            })
        };
        json!({
            "averaged": self.names[..self.names.len() - 1],
            "weights": "equal",
            "opinions": self.names.iter().zip(&self.counts).map(opinion).collect::<Vec<_>>(),
            "agreement": self.agreement,
            "main_right_mean_wrong": self.main_right_mean_wrong,
            "mean_right_main_wrong": self.mean_right_main_wrong,
            "split": self.split.iter().map(split).collect::<Vec<_>>(),
        })
    }

    /// The names of the columns of [`Heads::csv`], each after a comma.
    pub fn csv_header(&self) -> String {
        self.names[1..].iter().map(|name| format!(",{name}_top1,{name}_top5")).collect()
    }

    /// The counts of `class` of all opinions but the trunk's, whose counts the report has, each after a comma.
    pub fn csv(&self, class: usize) -> String {
        let counts = self.classes.get(&class).map_or(&[][..], |counts| &counts[1..]);
        counts.iter().map(|count| format!(",{},{}", count.first, count.fifth)).collect()
    }
}

impl Split {
    /// How sure the disagreement is: of all two heads that have different likeliest classes, the two that are surest
    /// count, and of these the less sure one's confidence.
    fn sureness(&self) -> f64 {
        let (_, heads) = self.opinions.split_last().expect("the mean's is the last");
        let pairs = heads.iter().flat_map(|one| heads.iter().map(move |other| (one, other)));
        let apart = pairs.filter(|((class, _), (other, _))| class != other);
        apart.map(|((_, one), (_, other))| one.min(*other)).fold(0.0, f64::max)
    }
}

/// The name of the opinion of the trunk's classifier.
const MAIN: &str = "main";

/// The name of the opinion of all together.
const MEAN: &str = "mean";

/// How many of the pictures on which heads are split are shown.
const SHOWN: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn heads() -> Heads {
        let opinion = |&(class, confidence): &(usize, f64)| {
            let top = (0..6).map(|step| (class + step) % 10).collect();
            Opinion { top, confidence }
        };
        type Case = (&'static str, usize, [(usize, f64); 4]);
        let cases: [Case; 4] = [
            ("a", 1, [(1, 0.9), (1, 0.5), (1, 0.7), (1, 0.7)]),
            ("b", 1, [(2, 0.4), (1, 0.6), (1, 0.9), (1, 0.5)]), // the mean alone is right
            ("c", 3, [(3, 0.8), (4, 0.9), (4, 0.7), (4, 0.6)]), // main alone is right
            ("d", 9, [(5, 0.3), (4, 0.2), (3, 0.1), (5, 0.2)]), // 9 is the fifth from 5, the sixth from 4
        ];
        let pictures: Vec<_> = cases.iter().map(|&(path, class, _)| Picture { path: path.into(), class }).collect();
        let verdicts: Vec<_> =
            cases.iter().map(|(.., opinions)| Verdict::Classes(opinions.iter().map(opinion).collect())).collect();
        let unreadable = (Picture { path: "e".into(), class: 1 }, Verdict::Unreadable("cut off".into()));
        let pictures = [pictures, vec![unreadable.0]].concat();
        let verdicts = [verdicts, vec![unreadable.1]].concat();
        Heads::new(&pictures, &verdicts, names(&["loss1", "loss2"])).expect("there are heads")
    }

    #[test]
    fn opinions_are_counted_and_compared() {
        let json = heads().json(&[]);
        let of = |key: &str| json["opinions"].as_array().expect("a list").iter().map(|one| one[key].clone()).collect();
        let tops: [Vec<Value>; 2] = [of("top1"), of("top5")];
        assert_eq!(tops, [vec![json!(0.5); 4], [0.75, 0.5, 0.5, 0.75].map(Value::from).to_vec()]);
        assert_eq!(json["agreement"], json!([[4, 1, 1, 2], [1, 4, 3, 3], [1, 3, 4, 3], [2, 3, 3, 4]]));
        assert_eq!((&json["main_right_mean_wrong"], &json["mean_right_main_wrong"]), (&json!(1), &json!(1)));
        assert_eq!(json["averaged"], json!(["main", "loss1", "loss2"]));
        let split = json["split"].as_array().expect("a list");
        // Of c, main with 0.8 and loss1 with 0.9 say different things; of b, main with 0.4 and loss2 with 0.9.
        let images: Vec<_> = split.iter().map(|one| one["image"].as_str().expect("a name")).collect();
        assert_eq!(images, ["c", "b", "d"]);
        let last = &split[2]["opinions"][3];
        assert_eq!(*last, json!({ "name": "mean", "class": 5, "label": null, "confidence": 0.2 }));
    }

    #[test]
    fn text_and_csv_say_the_same() {
        let heads = heads();
        let mut text = Vec::new();
        heads.text(&[], &mut text).expect("written");
        let text = String::from_utf8(text).expect("UTF-8");
        for part in [
            "main       50.00 %        2   75.00 %        3     60.00 %\n",
            "loss1            1         4         3         3\n",
            "split                    75.00 %        3\n",
            "c      3\n     = main      80.00 %      3\n       loss1     90.00 %      4\n",
            "mean is that of the probabilities of the 3, weighted equally",
        ] {
            assert!(text.contains(part), "{part:?}: {text}");
        }
        assert_eq!(heads.csv_header(), ",loss1_top1,loss1_top5,loss2_top1,loss2_top5,mean_top1,mean_top5");
        assert_eq!([heads.csv(1), heads.csv(9)], [",2,2,2,2,2,2", ",0,0,0,0,0,1"]);
    }

    #[test]
    fn without_heads_nothing_is_counted() {
        let verdicts = [Verdict::Classes(vec![Opinion { top: vec![1], confidence: 1.0 }])];
        assert!(Heads::new(&[Picture { path: "a".into(), class: 1 }], &verdicts, names(&[])).is_none());
    }
}
