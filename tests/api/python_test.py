"""The Python module: it mirrors the header, makes pictures, and says what the library says."""

import ctypes
import json
import pathlib
import re
import sys
import tempfile
import unittest

import numpy
import tessera
from tessera import _library

HEADER = pathlib.Path(sys.argv.pop()).read_text()


def hash_of(pixels):
    value = 0xCBF29CE484222325
    sides = b"".join(int(side).to_bytes(4, "little") for side in (pixels.shape[1], pixels.shape[0]))
    for byte in sides + pixels.tobytes():
        value = (value ^ byte) * 0x100000001B3 % (1 << 64)
    return value


class Mirror(unittest.TestCase):
    def test_every_function_is_there(self):
        declared = set(re.findall(r"TESSERA_API [^;]*?(tessera_\w+)\(", HEADER)) - {"tessera_version"}
        self.assertEqual(declared, set(_library.FUNCTIONS))

    def test_structs_have_the_fields_of_the_header(self):
        for name, mirror in (("callbacks", _library.Callbacks), ("runtime_desc", _library.RuntimeDesc),
                             ("runtime_event", _library.RuntimeEvent), ("frame_info", _library.FrameInfo),
                             ("stats", _library.Stats), ("model_desc", _library.ModelDesc),
                             ("model_info", _library.ModelInfo), ("plugin_info", _library.PluginInfo),
                             ("model_entry", _library.ModelEntry), ("backend_info", _library.BackendInfo),
                             ("texture_desc", _library.TextureDesc),
                             ("texture_info", _library.TextureInfo), ("pixels", _library.Pixels)):
            body = re.search(r"typedef struct tessera_%s \{(.*?)\n\} tessera_%s;" % (name, name), HEADER, re.S).group(1)
            body = re.sub(r"/\*.*?\*/", "", body, flags=re.S)
            fields = []
            for line in filter(None, (part.strip() for part in body.split(";"))):
                pointer = re.search(r"\(\*(\w+)\)\(", line)
                names = [pointer.group(1)] if pointer else re.findall(r"(\w+)\s*(?=,|$)", line)
                fields += names
            self.assertEqual(fields, [field for field, _ in mirror._fields_], name)


class Runs(unittest.TestCase):
    def setUp(self):
        self.runtime = tessera.Runtime(threads=1)
        self.addCleanup(self.runtime.close)

    def test_ten_lines_make_an_array(self):
        model = self.runtime.model(plugin="org.tessera.gradient")
        textures = [model.texture(seed=seed, values={"size": 32, "steps": 2}) for seed in range(8)]
        for seed, texture in enumerate(textures):
            pixels = texture.wait().pixels()
            self.assertEqual(pixels.shape, (32, 32, 4))
            self.assertEqual(pixels.dtype, numpy.uint8)
            self.assertEqual(pixels[0, 0, 2], seed * 37 % 256)
            self.assertEqual(texture.info().hash, hash_of(pixels))
            self.assertEqual(texture.info().state, "done")

    def test_errors_carry_the_text(self):
        model = self.runtime.model(plugin="org.tessera.gradient").wait()
        with self.assertRaises(tessera.Error) as raised:
            model.texture(values={"steps": 65})
        self.assertEqual(raised.exception.status, "INVALID_ARGUMENT")
        self.assertIn("64", str(raised.exception))
        with self.assertRaises(tessera.Error) as raised:
            self.runtime.model("no_such_model").wait()
        self.assertIn("no_such_model", str(raised.exception))

    def test_events_and_parameters(self):
        model = self.runtime.model(plugin="org.tessera.gradient").wait()
        self.assertEqual(set(model.params()), {"steps", "size"})
        self.assertEqual(model.params()["size"].max, 4096)
        model.texture(values={"size": 16}).wait()
        types = []
        while (event := self.runtime.poll()) is not None:
            types.append(event.type)
        self.assertEqual(types, ["ready", "picture", "done"])
        self.assertEqual(self.runtime.frame(cpu_us=1000), [])
        self.assertEqual(self.runtime.stats()["done"], 1)

    def test_lists_what_there_is(self):
        self.assertIn("org.tessera.gradient", [plugin.id for plugin in self.runtime.plugins() if not plugin.error])
        entries = {entry.model: entry for entry in self.runtime.models() if entry.model}
        self.assertEqual(entries["materials"].plugin, "org.tessera.texture")
        self.assertEqual(entries["materials"].metadata["license"], "CC-BY-SA-4.0")
        self.assertIn("cpu", [backend.name for backend in self.runtime.backends() if not backend.missing])
        model = self.runtime.model("materials", lazy=True).wait()
        self.assertEqual(model.info().state, "evicted")
        self.assertEqual(model.info().abilities, ("complete", "style", "encode", "extend"))
        self.assertIn("bark", model.params()["class"].labels)
        self.assertEqual(model.inputs()["image"].type, "rgba8")

    def test_maps_are_arrays(self):
        model = self.runtime.model(plugin="org.tessera.gradient")
        texture = model.texture(values={"size": 32}, maps=True).wait()
        self.assertEqual(texture.pixels("height").dtype, numpy.uint16)
        self.assertEqual(texture.pixels("normal").shape, (32, 32, 4))
        orm = texture.pixels("orm")
        for channel, name in enumerate(("occlusion", "roughness", "metallic")):
            self.assertTrue((texture.pixels(name) == orm[:, :, channel]).all())
        with self.assertRaises(tessera.Error) as raised:
            texture.pixels("gloss")
        self.assertIn("roughness", str(raised.exception))

    def test_what_does_not_fit_is_refused_rather_than_cut_off(self):
        model = self.runtime.model(plugin="org.tessera.gradient").wait()
        for wrong in ({"seed": -1}, {"seed": 1 << 64}, {"width": -1}, {"height": 1 << 32}, {"priority": 1 << 31},
                      {"values": "{}"}, {"values": [1]}, {"inputs": {"image": None}}, {"inputs": {"a\0b": numpy.zeros((2, 2))}}):
            with self.assertRaises(tessera.Error, msg=str(wrong)) as raised:
                model.texture(**wrong)
            self.assertEqual(raised.exception.status, "INVALID_ARGUMENT")
            self.assertIn("expected" if "inputs" not in wrong else "input", str(raised.exception))
        with self.assertRaises(tessera.Error):
            self.runtime.model("materials\0and more")
        self.assertEqual(model.texture(seed=(1 << 64) - 1, values={"size": 16}).wait().info().state, "done")

    def test_files_have_any_name(self):
        model = self.runtime.model(plugin="org.tessera.gradient")
        texture = model.texture(values={"size": 16}).wait()
        with tempfile.TemporaryDirectory() as folder:
            for name in (folder + "/bild \u6a39.png", pathlib.Path(folder, "path.png"), folder.encode() + b"/bytes.png"):
                texture.save(name)
            self.assertEqual(len(list(pathlib.Path(folder).iterdir())), 3)

    def test_values_make_it_again(self):
        model = self.runtime.model(plugin="org.tessera.gradient").wait()
        texture = model.texture(seed=5, values={"size": 16}).wait()
        values = json.loads(texture.values())
        self.assertEqual(values["seed"], 5)
        again = model.texture(seed=values["seed"], values=values["values"]).wait()
        self.assertEqual(again.info().hash, texture.info().hash)

    def test_closed_handles_are_known(self):
        model = self.runtime.model(plugin="org.tessera.gradient").wait()
        model.close()
        with self.assertRaises(tessera.Error) as raised:
            model.texture()
        self.assertEqual(raised.exception.status, "NOT_FOUND")


if __name__ == "__main__":
    unittest.main()
