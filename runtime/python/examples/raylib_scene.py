"""A raylib scene whose materials are made while it runs: the space bar asks for others.

    pip install runtime/python raylib
    python runtime/python/examples/raylib_scene.py [--screenshot FILE: when all are there, and then the end]
"""

import argparse
import itertools
import math

import pyray as rl
import tessera

MATERIALS = ("cobblestone", "bark", "brick", "rock")
VALUES = {"width": 256, "height": 256}

VERTEX = """#version 330
in vec3 vertexPosition; in vec2 vertexTexCoord; in vec3 vertexNormal;
uniform mat4 mvp, matModel; uniform vec2 tiles;
out vec2 uv; out vec3 normal;
void main() {
    uv = vertexTexCoord * tiles;
    normal = mat3(matModel) * vertexNormal;
    gl_Position = mvp * vec4(vertexPosition, 1.0);
}"""
FRAGMENT = """#version 330
in vec2 uv; in vec3 normal;
uniform sampler2D texture0;
out vec4 colour;
void main() {
    vec3 albedo = pow(texture(texture0, uv).rgb, vec3(2.2)); // the picture is sRGB, light is linear
    vec3 n = normalize(normal);
    vec3 light = vec3(1.0, 0.93, 0.8) * 1.5 * max(dot(n, normalize(vec3(0.5, 0.8, 0.6))), 0.0)
               + mix(vec3(0.12, 0.10, 0.09), vec3(0.30, 0.36, 0.45), 0.5 + 0.5 * n.y);
    colour = vec4(pow(albedo * light, vec3(1.0 / 2.2)), 1.0);
}"""


class Thing:
    """A mesh with a texture that follows one of Tessera's."""

    def __init__(self, mesh: rl.Mesh, shader: rl.Shader, tiles: float, texture: tessera.Texture) -> None:
        self.made, self.tiles, self.picture = texture, tiles, 0
        self.model = rl.load_model_from_mesh(mesh)
        self.model.materials[0].shader = shader
        grey = rl.gen_image_color(VALUES["width"], VALUES["height"], rl.GRAY)
        self.texture = rl.load_texture_from_image(grey)
        rl.unload_image(grey)
        rl.set_material_texture(self.model.materials, rl.MaterialMapIndex.MATERIAL_MAP_ALBEDO, self.texture)

    def update(self) -> None:
        """Takes up what is new; a picture that is not finished is shown too."""
        picture = self.made.info().picture
        if picture in (0, self.picture):
            return
        self.picture = picture
        _, _, pixels = self.made.pixel_bytes()
        rl.update_texture(self.texture, rl.ffi.cast("void *", rl.ffi.from_buffer(pixels)))
        rl.gen_texture_mipmaps(rl.ffi.addressof(self.texture))
        rl.set_texture_filter(self.texture, rl.TextureFilter.TEXTURE_FILTER_TRILINEAR)
        rl.set_material_texture(self.model.materials, rl.MaterialMapIndex.MATERIAL_MAP_ALBEDO, self.texture)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--screenshot", metavar="FILE")
    screenshot = parser.parse_args().screenshot
    rl.set_config_flags(rl.ConfigFlags.FLAG_MSAA_4X_HINT)
    rl.set_target_fps(60)
    rl.init_window(960, 540, "Tessera in raylib")
    shader = rl.load_shader_from_memory(VERTEX, FRAGMENT)
    tiles = rl.get_shader_location(shader, "tiles")
    camera = rl.Camera3D((0, 0, 0), (0, 0.7, 0), (0, 1, 0), 45, rl.CameraProjection.CAMERA_PERSPECTIVE)
    with tessera.Runtime(program="raylib scene") as runtime:
        model = runtime.model("materials")
        seeds = itertools.count(1)
        meshes = (rl.gen_mesh_plane(12, 12, 1, 1), rl.gen_mesh_cylinder(0.5, 2.2, 48), rl.gen_mesh_cube(1.5, 1.5, 1.5),
                  rl.gen_mesh_torus(0.45, 1.5, 32, 64))
        places = ((0, 0, 0), (-1.9, 0, 0.4), (0, 0.75, -0.5), (1.9, 0.9, 0.4))
        things = [Thing(mesh, shader, repeats, model.texture(next(seeds), values={**VALUES, "class": name},
                                                             preview_every=2))
                  for mesh, name, repeats in zip(meshes, MATERIALS, (3, 2, 1, 2))]
        while not rl.window_should_close():
            for event in runtime.frame(cpu_us=max(4000, int(rl.get_frame_time() * 5e5))):  # half of the time
                if event.type == "failed":
                    raise SystemExit(event.text)
            if rl.is_key_pressed(rl.KeyboardKey.KEY_SPACE):
                for thing in things:
                    thing.made.set("seed", next(seeds))
            for thing in things:
                thing.update()
            angle = 0.25 * rl.get_time()
            camera.position = (5 * math.sin(angle), 2.6, 5 * math.cos(angle))
            rl.begin_drawing()
            rl.clear_background(rl.Color(150, 170, 190, 255))
            rl.begin_mode_3d(camera)
            for thing, place in zip(things, places):
                rl.set_shader_value(shader, tiles, rl.Vector2(thing.tiles, thing.tiles),
                                    rl.ShaderUniformDataType.SHADER_UNIFORM_VEC2)
                rl.draw_model(thing.model, place, 1, rl.WHITE)
            rl.end_mode_3d()
            rl.draw_fps(10, 10)
            rl.end_drawing()
            if screenshot and all(thing.made.info().final for thing in things):
                image = rl.load_image_from_screen()
                if not rl.export_image(image, screenshot):
                    raise SystemExit(f"{screenshot}: cannot be written")
                break
    rl.close_window()


if __name__ == "__main__":
    main()
