//! Colours by role. A plot is drawn in the light theme's colours as attributes, which any viewer understands; a stylesheet
//! made of the same table re-colours the attributes for the dark theme. Series differ in hue and lightness (after
//! Okabe and Ito), and also in mark and dash, so that colour is never all there is.

use std::fmt::Write as _;

use plotters::style::RGBColor;

/// What a colour is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Text and axes.
    Ink,
    /// Tick labels, titles of axes.
    Soft,
    /// Grid.
    Line,
    /// Behind everything.
    Paper,
    /// A fault, a violated invariant.
    Bad,
    /// Data series, from 0.
    Series(usize),
}

/// (role, CSS variable, light, dark).
const TABLE: [(Role, &str, u32, u32); 12] = [
    (Role::Ink, "ink", 0x1D_1F23, 0xE8_E6E1),
    (Role::Soft, "soft", 0x5C_6169, 0xA6_ABB3),
    (Role::Line, "line", 0xDD_DAD3, 0x34_3A41),
    (Role::Paper, "paper", 0xFB_FAF7, 0x14_171A),
    (Role::Bad, "bad", 0xB3_261E, 0xFF_8C82),
    (Role::Series(0), "s0", 0x00_67A5, 0x5A_B0F0),
    (Role::Series(1), "s1", 0xC4_4E00, 0xFF_8F52),
    (Role::Series(2), "s2", 0x00_805E, 0x3C_C79A),
    (Role::Series(3), "s3", 0xA8_478A, 0xE0_8CC4),
    (Role::Series(4), "s4", 0x94_6F00, 0xE5_BE4B),
    (Role::Series(5), "s5", 0x3D_97CF, 0x9A_D4F5),
    (Role::Series(6), "s6", 0x55_5B66, 0xB4_BAC4),
];

/// Series that can be told apart.
pub const SERIES: usize = 7;

impl Role {
    fn row(self) -> &'static (Role, &'static str, u32, u32) {
        let wanted = match self {
            Role::Series(n) => Role::Series(n % SERIES),
            other => other,
        };
        TABLE.iter().find(|row| row.0 == wanted).unwrap_or(&TABLE[0])
    }

    /// Colour in the light theme.
    #[must_use]
    pub fn colour(self) -> RGBColor {
        let [_, r, g, b] = self.row().2.to_be_bytes();
        RGBColor(r, g, b)
    }
}

/// The variables of both themes, for a `:root` of page or plot.
#[must_use]
pub fn variables() -> String {
    let theme = |pick: fn(&(Role, &str, u32, u32)) -> u32| {
        TABLE.iter().fold(String::new(), |mut out, row| {
            let _ = write!(out, "--{}:#{:06X};", row.1, pick(row));
            out
        })
    };
    format!(
        ":root{{{}}}\n@media screen and (prefers-color-scheme:dark){{:root{{{}}}}}\n",
        theme(|r| r.2),
        theme(|r| r.3)
    )
}

/// Rules that give the attributes of a plot the variables' values.
#[must_use]
pub fn rules() -> String {
    TABLE.iter().fold(String::new(), |mut out, (_, name, light, _)| {
        let _ = writeln!(
            out,
            ".plot [fill=\"#{light:06X}\"]{{fill:var(--{name})}}.plot [stroke=\"#{light:06X}\"]{{stroke:var(--{name})}}"
        );
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_has_its_own_colour_so_that_rules_cannot_mix_them_up() {
        let colours: std::collections::BTreeSet<u32> = TABLE.iter().map(|r| r.2).collect();
        assert_eq!(colours.len(), TABLE.len());
        assert_eq!(Role::Series(SERIES).colour(), Role::Series(0).colour());
    }
}
