//! What was found, as JSON.

use crate::image::{Rgb8, Window};
use crate::{ClassMap, Model, Prediction};
use serde_json::{Value, json};

use super::look::{Answer, Opinion, Seen};
use super::occlusion::{Occlusion, POSITIONS};

/// All that was found about one picture.
pub struct Report<'a> {
    /// The picture's name.
    pub name: String,
    pub model: &'a Model,
    pub picture: Rgb8<'a>,
    pub seen: Seen,
    pub occlusion: Occlusion,
}

impl Report<'_> {
    /// As `explain --help` documents it.
    pub fn json(&self) -> Value {
        let Self { name, model, picture, seen, occlusion } = self;
        let network = model.network();
        let Window { x, y, width, height, side } = seen.window;
        let top = |p: &Prediction| json!({ "index": p.index, "label": p.label, "probability": p.probability });
        let classes = seen.top.iter().map(|p| {
            let mut class = top(p);
            class["logit"] = json!(seen.logits[p.index]);
            class
        });
        let map = |(p, map): (&Prediction, &ClassMap)| {
            json!({
                "index": p.index,
                "bias": map.bias,
                "shape": map.shape,
                "values": map.values,
                "centre_of_mass": map.centre_of_mass(&seen.window),
            })
        };
        let maps = seen.maps.as_ref().map(|maps| seen.top.iter().zip(maps).map(map).collect::<Vec<_>>());
        let hidden = seen.top.iter().zip(&occlusion.classes).map(|(p, hidden)| {
            let rows: Vec<&[f32]> = hidden.probabilities.chunks(POSITIONS).collect();
            json!({ "index": p.index, "probabilities": rows })
        });
        let layer = |answer: &Answer| {
            let strongest = answer.strongest.iter().map(|channel| {
                let (largest, mean) = (channel.largest, channel.mean);
                json!({ "channel": channel.index, "layer": channel.layer, "largest": largest, "mean": mean })
            });
            json!({
                "name": answer.name,
                "shape": answer.shape,
                "zero_share": answer.zero_share,
                "strongest": strongest.collect::<Vec<_>>(),
            })
        };
        let opinion = |opinion: &Opinion| {
            let top: Vec<_> = opinion.top.iter().map(top).collect();
            json!({ "name": opinion.name, "after": opinion.after, "top": top })
        };
        json!({
            "image": name,
            "size": [picture.width(), picture.height()],
            "network": network.name,
            "dialect": network.dialect.name(),
            "side": side,
            "window": [x, y, width, height],
            "top": classes.collect::<Vec<_>>(),
            "class_maps": maps,
            "occlusion": {
                "positions": POSITIONS,
                "square": occlusion.square,
                "classes": hidden.collect::<Vec<_>>(),
            },
            "layers": seen.layers.iter().map(layer).collect::<Vec<_>>(),
            "heads": seen.opinions.iter().map(opinion).collect::<Vec<_>>(),
            "heads_absent": seen.absent,
            "heads_unfit": seen.unfit,
        })
    }
}
