"""Physical constants in SI, each with its source, and the factors of human units.

Only ``build.py`` and the code that talks to humans or files multiplies by a unit factor.
"""

# The Earth and the Sun
EARTH_RADIUS = 6_378_137.0  # m, equatorial. Source: WGS 84
EARTH_FLATTENING = 1 / 298.257223563  # Source: WGS 84
EARTH_POLAR_RADIUS = EARTH_RADIUS * (1 - EARTH_FLATTENING)
EARTH_GM = 3.986004418e14  # m³/s². Source: WGS 84 / IERS Conventions 2010, table 1.1
EARTH_J2 = 1.08262668e-3  # Source: EGM96, unnormalised
EARTH_ROTATION = 7.292115e-5  # rad/s, mean. Source: WGS 84
SUN_RADIUS = 6.957e8  # m, nominal. Source: IAU 2015 Resolution B3
AU = 149_597_870_700.0  # m. Source: IAU 2012 Resolution B2
TROPICAL_YEAR = 365.24219 * 86_400  # s. Source: Astronomical Almanac

# Radiation
STEFAN_BOLTZMANN = 5.670374419e-8  # W/m²/K⁴. Source: CODATA 2018 (exact)
SOLAR_CONSTANT = 1361.0  # W/m² at 1 AU. Source: Kopp & Lean 2011, range 1360.3–1361.3
DEEP_SPACE_TEMPERATURE = 2.7  # K. Source: cosmic background, 2.725 K

# Human units
KM = 1e3
DEG = 3.141592653589793 / 180
MINUTE = 60.0
HOUR = 3600.0
DAY = 86_400.0
WH = 3600.0
MS = 1e-3
CELSIUS = 273.15  # K at 0 °C
