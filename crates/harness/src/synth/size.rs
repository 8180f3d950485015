//! How large a generated event is.

/// Exact totals of an event: what every seed must come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Totals {
    races: u32,
    results: u32,
    laps: u32,
}

/// Totals that no event can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "no event has {races} races, {results} results and {laps} laps: laps need results, and results need races; \
     raise the one that is missing"
)]
pub struct TotalsError {
    races: u32,
    results: u32,
    laps: u32,
}

impl Totals {
    /// Totals of any size, for scenarios that name their own and for shrinking.
    ///
    /// # Errors
    /// When there are laps without results, or results without races.
    pub fn new(races: u32, results: u32, laps: u32) -> Result<Self, TotalsError> {
        if (results > 0 && races == 0) || (laps > 0 && results == 0) {
            return Err(TotalsError { races, results, laps });
        }
        Ok(Self { races, results, laps })
    }

    /// Races of the event.
    #[must_use]
    pub fn races(self) -> u32 {
        self.races
    }

    /// Results of all races.
    #[must_use]
    pub fn results(self) -> u32 {
        self.results
    }

    /// Laps of all results; lap 0 is none.
    #[must_use]
    pub fn laps(self) -> u32 {
        self.laps
    }
}

/// A named size, or totals of one's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Size {
    /// 8 races, 80 results, 800 laps.
    Small,
    /// 16 races, 160 results, 3,000 laps.
    Medium,
    /// 40 races, 480 results, 10,000 laps.
    Large,
    /// 100 races, 1,000 results, 50,000 laps.
    VeryLarge,
    /// 2,000 races, 24,000 results, 1,000,000 laps.
    Huge,
    /// Anything else.
    Custom(Totals),
}

impl Size {
    /// The named sizes, smallest first.
    pub const NAMED: [Self; 5] = [Self::Small, Self::Medium, Self::Large, Self::VeryLarge, Self::Huge];

    /// What an event of this size comes to, whatever its seed.
    #[must_use]
    pub fn totals(self) -> Totals {
        let (races, results, laps) = match self {
            Self::Small => (8, 80, 800),
            Self::Medium => (16, 160, 3_000),
            Self::Large => (40, 480, 10_000),
            Self::VeryLarge => (100, 1_000, 50_000),
            Self::Huge => (2_000, 24_000, 1_000_000),
            Self::Custom(totals) => return totals,
        };
        Totals { races, results, laps }
    }

    /// Its name in scenarios.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Medium => "medium",
            Self::Large => "large",
            Self::VeryLarge => "very-large",
            Self::Huge => "huge",
            Self::Custom(_) => "custom",
        }
    }
}

impl std::str::FromStr for Size {
    type Err = UnknownSize;

    fn from_str(text: &str) -> Result<Self, UnknownSize> {
        Self::NAMED.into_iter().find(|size| size.name() == text).ok_or_else(|| UnknownSize(text.to_owned()))
    }
}

/// A size that has no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown size `{0}`: use small, medium, large, very-large or huge")]
pub struct UnknownSize(String);
