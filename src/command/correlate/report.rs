//! What is told of a layer's units, and the same as JSON.

use crate::model::Dialect;
use serde_json::{Value, json};

use super::clusters::Clusters;
use super::means::Excitement;
use super::shares::Share;

/// All that the files say, but for the correlations themselves.
pub struct Report {
    /// The network's name.
    pub network: &'static str,
    pub dialect: Dialect,
    /// The layer's name.
    pub endpoint: String,
    /// The shape of the layer's output, `[c, h, w]`.
    pub shape: [usize; 3],
    /// The names of the pictures that were looked at, from the folder that was given.
    pub pictures: Vec<String>,
    /// The names of the pictures that could not be used, and what was wrong with each.
    pub unreadable: Vec<(String, String)>,
    /// The units that have the same value everywhere.
    pub dead: Vec<usize>,
    pub shares: Vec<Share>,
    pub clusters: Clusters,
    /// For each cluster, the pictures that excite it most.
    pub exciting: Vec<Vec<Excitement>>,
}

impl Report {
    /// The contents of `clusters.json`, whose keys the command's help explains.
    pub fn json(&self) -> Value {
        let unreadable = self.unreadable.iter().map(|(image, error)| json!({ "image": image, "error": error }));
        let clusters = self.clusters.clusters.iter().zip(&self.exciting).map(|(cluster, exciting)| {
            let exciting = exciting
                .iter()
                .map(|excitement| json!({ "image": self.pictures[excitement.picture], "value": excitement.value }));
            json!({
                "units": cluster.units, "mean_correlation": cluster.mean_correlation,
                "pictures": exciting.collect::<Vec<_>>(),
            })
        });
        json!({
            "network": self.network, "dialect": self.dialect.name(), "endpoint": self.endpoint, "shape": self.shape,
            "pictures": self.pictures.len(), "unreadable": unreadable.collect::<Vec<_>>(), "dead": self.dead,
            "distances": self.shares.iter().map(Share::json).collect::<Vec<_>>(),
            "clusters": clusters.collect::<Vec<_>>(),
        })
    }
}
