"""The Earth: a dark map on the WGS 84 ellipsoid, day and night by the true Sun, a thin glow.

The mesh is Earth-fixed; the actor turns by the Earth's rotation and the Sun is turned back into the
Earth-fixed frame for the shader. Refraction, clouds and the Moon are left out; the map is Natural
Earth (public domain) as masks, coloured by ``theme.py``. Drawing unit: 1,000 km.
"""

from dataclasses import dataclass, field
from importlib.resources import as_file, files
from typing import Any

import numpy as np

from viz import theme
from viz.camera import Camera
from viz.scene import Frame, itrf_from_teme, surface_position

UNIT = 1e6  # m in one drawing unit
GLOW_HEIGHT = 320e3  # m; the glow is drawn some times higher than the air is, or it is not seen
# The Sun's height where day begins and night is complete: sunrise, and the end of civil twilight.
DAY_STARTS, NIGHT_STARTS = np.sin(np.radians([2.0, -6.0]))

SURFACE_SHADER = """
    vec3 up = normalize(surfaceMC * vec3(1.0, 1.0, 1.00674));
    float sunHeight = dot(up, sunDir);
    float day = smoothstep(NIGHT_STARTS, DAY_STARTS, sunHeight);
    float full = day * (0.50 + 0.50 * pow(max(sunHeight, 0.0), 0.55));
    vec3 mask = tcolor.rgb;
    vec3 ground = mix(OCEAN, LAND, mask.r);
    ground = mix(ground, GRATICULE, 0.26 * mask.b);
    ground = mix(ground, COAST, 0.62 * mask.g);
    vec3 night = ground * NIGHT * vec3(0.72, 0.86, 1.15);
    vec3 colour = mix(night, ground, full);
    float dusk = exp(-pow((sunHeight + 0.02) / 0.055, 2.0));
    colour += dusk * vec3(0.030, 0.022, 0.012);
    float rim = 1.0 - max(dot(up, normalize(camPos - surfaceMC)), 0.0);
    colour += GLOW * (0.04 + 0.55 * day) * pow(rim, 3.5);
    gl_FragData[0] = vec4(colour, 1.0);
"""

# The shell's far side is drawn, seen past the limb: how near the line of sight comes to the ground.
GLOW_SHADER = """
    vec3 sight = normalize(surfaceMC - camPos);
    vec3 nearest = camPos - dot(camPos, sight) * sight;
    float height = (length(nearest) - EARTH) / THICK;
    float lit = smoothstep(-0.18, 0.25, dot(normalize(nearest), sunDir));
    float fade = clamp(1.0 - height, 0.0, 1.0);
    float glow = exp(-5.0 * max(height, 0.0)) * fade * (0.06 + 0.62 * lit);
    gl_FragData[0] = vec4(GLOW, glow);
"""


def _vector(colour: str) -> str:
    return "vec3({:.4f}, {:.4f}, {:.4f})".format(*theme.rgb_fraction(colour))


def _fill(shader: str) -> str:
    """Put the theme's colours and the geometry into a shader."""
    values = {
        "NIGHT_STARTS": f"{NIGHT_STARTS:.5f}",
        "DAY_STARTS": f"{DAY_STARTS:.5f}",
        "OCEAN": _vector(theme.OCEAN),
        "LAND": _vector(theme.LAND),
        "COAST": _vector(theme.COAST),
        "GRATICULE": _vector(theme.GRATICULE),
        "GLOW": _vector(theme.GLOW),
        "NIGHT": f"{theme.NIGHT:.4f}",
        "EARTH": f"{6.3675:.4f}",
        "THICK": f"{GLOW_HEIGHT / UNIT:.4f}",
    }
    for name, value in values.items():
        shader = shader.replace(name, value)
    return shader


def globe_mesh(height: float = 0.0, rows: int = 181, columns: int = 361) -> Any:
    """The ellipsoid as a grid of latitudes and longitudes with texture coordinates, no seam."""
    import pyvista as pv

    latitude = np.linspace(-np.pi / 2, np.pi / 2, rows)[:, None] * np.ones(columns)
    longitude = np.linspace(-np.pi, np.pi, columns)[None, :] * np.ones((rows, 1))
    points = surface_position(latitude, longitude, height).reshape(-1, 3) / UNIT
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    quads = np.stack(
        [np.full_like(corner, 4), corner, corner + 1, corner + columns + 1, corner + columns], 1
    )
    mesh = pv.PolyData(points.astype(np.float32), quads.ravel())
    turns = np.stack([longitude / (2 * np.pi) + 0.5, latitude / np.pi + 0.5], axis=-1)
    mesh.active_texture_coordinates = turns.reshape(-1, 2).astype(np.float32)
    return mesh


def _shade(actor: Any, fragment: str) -> Any:
    """Give an actor its own fragment colour, from ``surfaceMC``, ``sunDir`` and ``camPos``.

    The uniforms declare themselves; declaring them again in the shader makes the mesh vanish.
    """
    shader = actor.GetShaderProperty()
    shader.AddVertexShaderReplacement(
        "//VTK::PositionVC::Dec", True, "//VTK::PositionVC::Dec\nout vec3 surfaceMC;\n", False
    )
    shader.AddVertexShaderReplacement(
        "//VTK::PositionVC::Impl",
        True,
        "//VTK::PositionVC::Impl\nsurfaceMC = vertexMC.xyz;\n",
        False,
    )
    shader.AddFragmentShaderReplacement(
        "//VTK::PositionVC::Dec", True, "//VTK::PositionVC::Dec\nin vec3 surfaceMC;\n", False
    )
    shader.AddFragmentShaderReplacement(
        "//VTK::TCoord::Impl", True, f"//VTK::TCoord::Impl\n{_fill(fragment)}\n", False
    )
    return shader.GetFragmentCustomUniforms()


@dataclass
class Globe:
    """The Earth and its glow in one plotter."""

    smooth: bool = True  # mip-maps: for stills; three times slower without a graphics card
    actors: list[Any] = field(default_factory=list)
    uniforms: list[Any] = field(default_factory=list)

    def build(self, plotter: Any, frame: Frame, camera: Camera) -> None:
        """Make the actors, once."""
        import pyvista as pv

        with as_file(files("assets") / "textures" / "earth.png") as path:
            texture = pv.read_texture(path)
        texture.interpolate = True
        texture.mipmap = self.smooth
        texture.SetMaximumAnisotropicFiltering(8.0 if self.smooth else 1.0)
        ground = plotter.add_mesh(globe_mesh(), texture=texture, lighting=False)
        # The glow needs texture coordinates only so that the shader has a place to be put in.
        glow = plotter.add_mesh(
            globe_mesh(GLOW_HEIGHT), texture=texture, lighting=False, culling="front"
        )
        glow.ForceTranslucentOn()
        self.actors = [ground, glow]
        self.uniforms = [_shade(ground, SURFACE_SHADER), _shade(glow, GLOW_SHADER)]
        self.update(frame, camera)

    def update(self, frame: Frame, camera: Camera) -> None:
        """Turn the Earth and move the Sun."""
        eye = itrf_from_teme(frame.earth_rotation) @ camera.position / UNIT
        for actor, uniforms in zip(self.actors, self.uniforms, strict=True):
            actor.SetOrientation(0, 0, float(np.degrees(frame.earth_rotation)))
            uniforms.SetUniform3f("sunDir", [float(x) for x in frame.sun_itrf])
            uniforms.SetUniform3f("camPos", [float(x) for x in eye])
