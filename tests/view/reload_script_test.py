"""A plugin that is written over in place while tessera-sandbox runs by a script: the script goes on with the new build,
a broken one changes nothing, and nothing crashes.

Usage: reload_script_test.py SANDBOX PLUGIN (the sample "gradient")
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import time

SKIP = 77
FRAMES = 120  # at 60 a second; the sandbox looks for new builds twice a second


def write_over(file: pathlib.Path, data: bytes) -> None:
    with file.open("r+b") as opened:  # in place, as some linkers do
        opened.truncate(0)
        opened.write(data)


def await_file(path: pathlib.Path, process: subprocess.Popen) -> None:
    while not path.exists() and process.poll() is None:
        time.sleep(0.02)


def main() -> int:
    sandbox, plugin = sys.argv[1], pathlib.Path(sys.argv[2])
    old = plugin.read_bytes()
    new = old.replace(b"\0size\0", b"\0side\0")  # the key of a parameter tells the builds apart
    if new == old:
        print(f"{plugin}: no parameter 'size'")
        return 1
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        changing, first, second = folder / "changing.so", folder / "first.png", folder / "second.png"
        changing.write_bytes(old)
        script = folder / "script.json"
        script.write_text(json.dumps([
            {"set": {"size": 32}}, "play", "wait_done", {"save_image": str(first)},
            {"wait_frames": FRAMES}, "play", "wait_done", {"save_image": str(second)},
            {"wait_frames": FRAMES}, {"set": {"side": 16}}, "play", "wait_done",
            {"save_image": str(folder / "third.png")}]))
        command = [sandbox, "--plugin", str(changing), "--fps", "60", "--script", str(script)]
        with subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            await_file(first, process)
            write_over(changing, b"half a file")
            await_file(second, process)
            write_over(changing, new)
            said = process.communicate(timeout=100)[0]
        if process.returncode != 0 and "Vulkan" in said:
            print(f"no window here: {said}")
            return SKIP
        third = (folder / "third.png").exists()
        print(said)
        print(f"exit code {process.returncode}, went on with the new build: {third}")
        return 0 if process.returncode == 0 and second.exists() and third else 1


if __name__ == "__main__":
    sys.exit(main())
