//! The cases.

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Case {
    /// One transaction of one COPY into the table as it is.
    Reference,
    /// The same with the foreign key by row in place of the check by statement.
    RowKeyReference,
    /// As [`Case::Reference`] at a round trip of 1 ms.
    FarReference,
    /// An empty database, one writer.
    Fresh,
    /// The same, two writers.
    FreshTwo,
    /// The same at a round trip of 1 ms, one writer.
    FarFresh,
    /// The same at a round trip of 1 ms, two writers.
    FarFreshTwo,
    /// Everything is stored as it is.
    Unchanged,
    /// Of forty races one has changed.
    Changed,
}

impl Case {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Reference,
        Self::RowKeyReference,
        Self::Fresh,
        Self::FreshTwo,
        Self::Unchanged,
        Self::Changed,
        Self::FarReference,
        Self::FarFresh,
        Self::FarFreshTwo,
    ];

    /// As printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reference => "reference COPY",
            Self::RowKeyReference => "reference COPY, key by row",
            Self::FarReference => "reference COPY, 1 ms",
            Self::Fresh => "fresh, one writer",
            Self::FreshTwo => "fresh, two writers",
            Self::FarFresh => "fresh, one writer, 1 ms",
            Self::FarFreshTwo => "fresh, two writers, 1 ms",
            Self::Unchanged => "unchanged",
            Self::Changed => "one race in forty changed",
        }
    }

    /// What it is compared with.
    pub fn reference(self) -> Self {
        if self.is_far() { Self::FarReference } else { Self::Reference }
    }

    /// At least so many times as fast as the reference, at 100,000 laps.
    pub fn bar(self) -> Option<f64> {
        match self {
            Self::Fresh => Some(0.80),
            Self::FreshTwo => Some(1.05),
            Self::Unchanged => Some(50.0),
            Self::Changed => Some(20.0),
            Self::FarFreshTwo => Some(0.7),
            Self::Reference | Self::RowKeyReference | Self::FarReference | Self::FarFresh => None,
        }
    }

    /// Whether it writes by itself.
    pub fn is_reference(self) -> bool {
        matches!(self, Self::Reference | Self::RowKeyReference | Self::FarReference)
    }

    /// Whether it goes through the proxy.
    pub fn is_far(self) -> bool {
        matches!(self, Self::FarReference | Self::FarFresh | Self::FarFreshTwo)
    }

    /// Units that are written side by side.
    pub fn writers(self) -> usize {
        if matches!(self, Self::FreshTwo | Self::FarFreshTwo) { 2 } else { 1 }
    }
}
