//! A figure of carbon for people who do not think in grams: a rating, and what emits as much.
//!
//! The rating is that of the Python package carbon-ops 0.1: A+ below 10 g, A below 50, B below 100, C below 500,
//! D below 1 kg, E below 5 kg, F from there on. It is of a whole figure, not per anything, and a convention
//! without another source. The equivalents of 0.1 had none either; ours are of the US EPA's calculator, with
//! its words for what is counted ([`Equivalent::source`]). They are conventions: an interval is that of the
//! grams, and says nothing of cars, trees and telephones elsewhere.
//!
//! Out of scope: any claim that a tree makes emissions undone.

words! {
    /// A rating.
    Rating {
        /// Below 10 g.
        APlus = "A+",
        /// Below 50 g.
        A = "A",
        /// Below 100 g.
        B = "B",
        /// Below 500 g.
        C = "C",
        /// Below 1 kg.
        D = "D",
        /// Below 5 kg.
        E = "E",
        /// 5 kg or more.
        F = "F",
    }
}

impl Rating {
    /// Upper bounds in gCO2e, not included (carbon-ops 0.1.1, observed).
    const BOUNDS: [(f64, Self); 6] = [
        (10.0, Self::APlus),
        (50.0, Self::A),
        (100.0, Self::B),
        (500.0, Self::C),
        (1000.0, Self::D),
        (5000.0, Self::E),
    ];

    /// Of so many gCO2e.
    ///
    /// ```
    /// use carbon_ops_estimate::label::Rating;
    /// assert_eq!(Rating::of_grams(57.0).to_string(), "B");
    /// ```
    pub fn of_grams(grams: f64) -> Self {
        let below = Self::BOUNDS.iter().find(|(bound, _)| grams < *bound);
        below.map_or(Self::F, |(_, rating)| *rating)
    }
}

/// What emits as much, or takes as much up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Equivalent {
    /// Its member in the label of carbon-ops 0.1.
    pub name: &'static str,
    /// In words.
    pub what: &'static str,
    /// gCO2e of one.
    pub g_each: f64,
    /// Where that comes from, with its vintage.
    pub source: &'static str,
}

/// A mile in km: international yard and pound agreement, 1959.
const KM_PER_MILE: f64 = 1.609_344;

/// Days of a year, on average.
const DAYS_PER_YEAR: f64 = 365.25;

/// km by car, days of a tree, charges of a telephone.
const EQUIVALENTS: [Equivalent; 3] = [
    Equivalent {
        name: "equivalent_km_driven",
        what: "km by an average gasoline car in the United States",
        g_each: 393.0 / KM_PER_MILE,
        source: "US EPA, Greenhouse Gas Equivalencies Calculator, references, edition of 2024: 3.93e-4 t CO2e a mile \
                 (8.89 kg a gallon, 22.8 miles a gallon, 0.994 of it CO2)",
    },
    Equivalent {
        name: "equivalent_tree_days",
        what: "days of uptake by an urban tree in its first ten years",
        g_each: 60_000.0 / (10.0 * DAYS_PER_YEAR),
        source: "US EPA, Greenhouse Gas Equivalencies Calculator, references, edition of 2024: 0.060 t CO2 a tree in ten \
                 years",
    },
    Equivalent {
        name: "equivalent_smartphone_charges",
        what: "charges of a smartphone from the United States' grid",
        g_each: 12.4,
        source: "US EPA, Greenhouse Gas Equivalencies Calculator, references, edition of 2024: 1.24e-5 t CO2 a charge",
    },
];

impl Equivalent {
    /// How many of them so many grams are.
    pub fn count(&self, grams: f64) -> f64 {
        grams / self.g_each
    }
}

/// A figure that is no mass of emissions.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error(
    "{grams} g{} is not a mass of emissions",
    interval_text(*.grams, *.low, *.high)
)]
pub struct NoMass {
    grams: f64,
    low: f64,
    high: f64,
}

/// Nothing, of a figure that is its own interval.
fn interval_text(grams: f64, low: f64, high: f64) -> String {
    let exact = [low, high].iter().all(|end| end.to_bits() == grams.to_bits());
    if exact { String::new() } else { format!(" with an interval from {low} to {high} g") }
}

/// A label.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Label {
    /// The figure in gCO2e.
    pub grams: f64,
    /// The ends of its interval; both the figure itself where it is exact.
    pub interval_g: (f64, f64),
}

impl Label {
    /// Of a figure and its interval, in gCO2e.
    ///
    /// # Errors
    /// When one of them is negative or not finite, or the interval is upside down.
    pub fn new(grams: f64, interval_g: (f64, f64)) -> Result<Self, NoMass> {
        let (low, high) = interval_g;
        let fine = [grams, low, high].iter().all(|x| x.is_finite() && *x >= 0.0) && low <= high;
        if fine { Ok(Self { grams, interval_g }) } else { Err(NoMass { grams, low, high }) }
    }

    /// The rating of the figure.
    pub fn rating(&self) -> Rating {
        Rating::of_grams(self.grams)
    }

    /// The ratings of the interval's ends.
    pub fn ratings(&self) -> (Rating, Rating) {
        (Rating::of_grams(self.interval_g.0), Rating::of_grams(self.interval_g.1))
    }

    /// Each equivalent: of the figure, and of the ends of its interval.
    pub fn equivalents(&self) -> impl Iterator<Item = (Equivalent, f64, (f64, f64))> {
        let Self { grams, interval_g: (low, high) } = *self;
        EQUIVALENTS
            .into_iter()
            .map(move |each| (each, each.count(grams), (each.count(low), each.count(high))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratings_have_the_predecessors_bounds() {
        // carbon-ops 0.1.1, observed, in kg: A+ <0.01, A <0.05, B <0.1, C <0.5, D <1, E <5, F.
        for (grams, rating) in [
            (0.0, "A+"),
            (9.999, "A+"),
            (10.0, "A"),
            (50.0, "B"),
            (57.0, "B"),
            (100.0, "C"),
            (500.0, "D"),
            (1000.0, "E"),
            (4999.9, "E"),
            (5000.0, "F"),
            (1e12, "F"),
        ] {
            assert_eq!(Rating::of_grams(grams).to_string(), rating, "{grams}");
            assert_eq!(serde_json::json!(Rating::of_grams(grams)), rating);
        }
    }

    #[test]
    fn equivalents_are_those_of_the_epa_in_metric_units() {
        // By hand from its references: 8.89 kg/gal ÷ 22.8 mi/gal ÷ 0.994 = 392.27 g/mile, printed as 393; ÷ 1.609344 = 244.2
        // g/km. 60 kg ÷ 3652.5 days = 16.427 g/day. 12.4 g a charge.
        let label = Label::new(1000.0, (500.0, 2000.0)).unwrap();
        let expected = [1000.0 / 244.2, 1000.0 / 16.427, 1000.0 / 12.4];
        for ((each, count, (low, high)), expected) in label.equivalents().zip(expected) {
            assert!((count / expected - 1.0).abs() < 1e-3, "{}: {count} {expected}", each.name);
            assert!((low * 2.0 - count).abs() < 1e-9 && (high / 2.0 - count).abs() < 1e-9);
            assert!(each.source.contains("2024"), "{}", each.name);
        }
        assert!((EQUIVALENTS[0].g_each * KM_PER_MILE - 8890.0 / 22.8 / 0.994).abs() < 1.0);
    }

    #[test]
    fn what_is_no_mass_has_no_label() {
        for (grams, low, high) in [
            (-1.0, 0.0, 1.0),
            (f64::NAN, 0.0, 1.0),
            (1.0, 2.0, 1.0),
            (1.0, 0.5, f64::INFINITY),
            (1.0, -0.1, 2.0),
        ] {
            assert!(Label::new(grams, (low, high)).is_err(), "{grams} {low} {high}");
        }
        let exact = Label::new(-3.0, (-3.0, -3.0)).unwrap_err().to_string();
        assert!(exact.starts_with("-3 g is not a mass of emissions"), "{exact}");
        let upside_down = Label::new(1.0, (2.0, 1.0)).unwrap_err().to_string();
        assert!(upside_down.starts_with("1 g with an interval from 2 to 1 g is"), "{upside_down}");
        let wide = Label::new(57.0, (40.0, 120.0)).unwrap();
        assert_eq!((wide.rating(), wide.ratings()), (Rating::B, (Rating::A, Rating::C)));
    }
}
