//! Isolation forests, after F. T. Liu, K. M. Ting, Z.-H. Zhou: "Isolation Forest", ICDM 2008.
//!
//! A tree takes a sample of points and splits it, at a random place between the smallest and the largest value of a
//! random coordinate, until points are alone or the tree is as deep as an average search tree of the sample would be.
//! The score of a point is `2^(-E(h) / c(n))`: `E(h)` is the mean number of splits until it is alone, `c(n)` what that is
//! for any of `n` points. We stretch it to what scores of detectors are: 0 where a point is as easily isolated as others
//! or less, up to 1 where one split does it.
//!
//! Two things are ours: a coordinate that is missing stands at its median, and points of which more than half is
//! missing are left out of the forest.

use serde::{Deserialize, Serialize};

/// Euler's constant, which approximates harmonic numbers.
const EULER_GAMMA: f64 = 0.577_215_664_901_532_9;

/// How a forest is grown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Growth {
    pub(crate) trees: usize,
    pub(crate) sample: usize,
    pub(crate) seed: u64,
}

/// Steps as points: `values[s * steps + i]` is coordinate `s` of point `i`.
pub(crate) struct Points<'a> {
    values: &'a [f64],
    coordinates: usize,
    steps: usize,
}

/// A forest, and what stands for what is missing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Forest {
    /// Median of each coordinate.
    medians: Vec<f64>,
    /// How many points each tree has seen.
    sample: usize,
    trees: Vec<Vec<Node>>,
}

/// A node; its tree's first is the root.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Node {
    /// Coordinate, where it is split, and the node of the points that are below; that of the others follows it.
    #[serde(rename = "s")]
    Split(u32, f64, u32),
    /// So many points are left together.
    #[serde(rename = "l")]
    Leaf(u32),
}

impl<'a> Points<'a> {
    pub(crate) fn new(values: &'a [f64], coordinates: usize, steps: usize) -> Self {
        Self { values, coordinates, steps }
    }

    fn at(&self, coordinate: usize, step: usize) -> f64 {
        self.values.get(coordinate * self.steps + step).copied().filter(|v| v.is_finite()).unwrap_or(f64::NAN)
    }

    /// The points of which no more than half is missing.
    fn whole(&self) -> Vec<usize> {
        let there = |step: &usize| (0..self.coordinates).filter(|c| !self.at(*c, *step).is_nan()).count();
        (0..self.steps).filter(|step| self.coordinates > 0 && there(step) * 2 >= self.coordinates).collect()
    }

    /// How many points a forest can be grown from.
    pub(crate) fn usable(&self) -> usize {
        self.whole().len()
    }

    /// Median of a coordinate; 0 where it has no value at all, and thus no part in anything.
    fn median(&self, coordinate: usize) -> f64 {
        let mut values: Vec<f64> =
            (0..self.steps).map(|step| self.at(coordinate, step)).filter(|v| !v.is_nan()).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(0.0)
    }

    /// A point with medians in the place of what is missing; nothing where all is.
    fn point(&self, step: usize, medians: &[f64]) -> Option<Vec<f64>> {
        let mut any = false;
        let point = medians.iter().enumerate().map(|(coordinate, median)| {
            let value = if coordinate < self.coordinates { self.at(coordinate, step) } else { f64::NAN };
            any |= !value.is_nan();
            if value.is_nan() { *median } else { value }
        });
        let point = point.collect();
        any.then_some(point)
    }
}

impl Forest {
    /// Grows a forest from all points.
    pub(crate) fn grow(points: &Points<'_>, growth: Growth) -> Self {
        let medians: Vec<f64> = (0..points.coordinates).map(|coordinate| points.median(coordinate)).collect();
        let mut whole: Vec<Vec<f64>> =
            points.whole().into_iter().filter_map(|step| points.point(step, &medians)).collect();
        let sample = growth.sample.min(whole.len());
        let depth_max = (sample.max(2) as f64).log2().ceil() as u32;
        let mut random = Random(growth.seed);
        let trees = (0..growth.trees)
            .map(|_| {
                // The first of a shuffle are a sample in which no point comes twice.
                for at in 0..sample {
                    let other = at + random.below(whole.len() - at);
                    whole.swap(at, other);
                }
                let mut members: Vec<&[f64]> = whole[..sample].iter().map(Vec::as_slice).collect();
                let mut nodes = vec![Node::Leaf(0)];
                split(&mut nodes, 0, &mut members, depth_max, &mut random);
                nodes
            })
            .collect();
        Self { medians, sample, trees }
    }

    /// How many coordinates the points had.
    pub(crate) fn coordinates(&self) -> usize {
        self.medians.len()
    }

    /// How unusual a point is, from 0 to 1; NaN where there is none.
    pub(crate) fn score(&self, points: &Points<'_>, step: usize) -> f64 {
        let Some(point) = points.point(step, &self.medians) else { return f64::NAN };
        let total: f64 = self.trees.iter().map(|tree| depth(tree, &point)).sum();
        let mean = total / self.trees.len() as f64;
        let score = (-mean / average_depth(self.sample)).exp2();
        (2.0 * score - 1.0).max(0.0)
    }

    /// Whether a forest that was read can be walked: every split leads further down, within its tree.
    pub(crate) fn check(&self) -> Result<(), String> {
        let sound = |tree: &Vec<Node>| {
            !tree.is_empty()
                && tree.iter().enumerate().all(|(at, node)| match *node {
                    Node::Split(coordinate, _, below) => {
                        (coordinate as usize) < self.medians.len()
                            && below as usize > at
                            && (below as usize + 1) < tree.len()
                    }
                    Node::Leaf(_) => true,
                })
        };
        let whole = self.sample >= 2 && !self.trees.is_empty() && self.trees.iter().all(sound);
        if whole { Ok(()) } else { Err("the model is no forest that can be walked".to_owned()) }
    }
}

/// Splits the points of a node, and those of the nodes that come of it.
fn split(nodes: &mut Vec<Node>, at: usize, members: &mut [&[f64]], depth_left: u32, random: &mut Random) {
    let ranges = ranges(members);
    if depth_left == 0 || members.len() < 2 || ranges.is_empty() {
        nodes[at] = Node::Leaf(u32::try_from(members.len()).unwrap_or(u32::MAX));
        return;
    }
    let (coordinate, least, most) = ranges[random.below(ranges.len())];
    // Between both, and never the least itself: both sides have points.
    let place = least + (most - least) * random.unit();
    let place = if place > least { place } else { most };
    let mut below = 0;
    for i in 0..members.len() {
        if members[i][coordinate] < place {
            members.swap(i, below);
            below += 1;
        }
    }
    let first = nodes.len();
    nodes.extend([Node::Leaf(0), Node::Leaf(0)]);
    nodes[at] = Node::Split(
        u32::try_from(coordinate).unwrap_or(u32::MAX),
        place,
        u32::try_from(first).unwrap_or(u32::MAX),
    );
    let (lower, upper) = members.split_at_mut(below);
    split(nodes, first, lower, depth_left - 1, random);
    split(nodes, first + 1, upper, depth_left - 1, random);
}

/// The coordinates in which points differ, with the least and the most of each.
fn ranges(members: &[&[f64]]) -> Vec<(usize, f64, f64)> {
    let Some(first) = members.first() else { return Vec::new() };
    (0..first.len())
        .map(|coordinate| {
            let values = members.iter().map(|member| member[coordinate]);
            let range = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), value| {
                (least.min(value), most.max(value))
            });
            (coordinate, range.0, range.1)
        })
        .filter(|(_, least, most)| least < most && (most - least).is_finite())
        .collect()
}

/// After how many splits a point is alone; where a tree stops before, what would have come on average.
fn depth(tree: &[Node], point: &[f64]) -> f64 {
    let (mut at, mut depth) = (0, 0.0);
    loop {
        match tree[at] {
            Node::Leaf(count) => return depth + average_depth(count as usize),
            Node::Split(coordinate, place, below) => {
                let upper = usize::from(point[coordinate as usize] >= place);
                at = below as usize + upper;
                depth += 1.0;
            }
        }
    }
}

/// The mean depth of a search in a random search tree that fails, `c(n)` of the paper.
fn average_depth(count: usize) -> f64 {
    match count {
        0 | 1 => 0.0,
        2 => 1.0,
        count => {
            let n = count as f64;
            2.0 * ((n - 1.0).ln() + EULER_GAMMA) - 2.0 * (n - 1.0) / n
        }
    }
}

/// SplitMix64 (G. L. Steele, D. Lea, C. H. Flood: "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to 1, without 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Below a count, which is not 0.
    fn below(&mut self, count: usize) -> usize {
        ((self.unit() * count as f64) as usize).min(count.saturating_sub(1))
    }
}
