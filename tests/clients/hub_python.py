"""huggingface_hub and Hearth share one cache: what either downloaded from the test hub, the other finds offline."""

import filecmp
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

MODEL = "mlx-community/tiny-4bit"
FILES = {
    "README.md": b"# A tiny model\n",
    "additional_chat_templates/tools.jinja": b"{{ messages }}",
    "config.json": b'{"model_type": "llama"}',
    "model.safetensors": bytes(range(256)) * 8000,
    "tokenizer.json": b"{}" * 1_000_000,
}


class TestHub(unittest.TestCase):
    def setUp(self):
        self.dir = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.root, self.cache = self.dir / "root", self.dir / "cache"
        for name, content in FILES.items():
            path = self.root / MODEL / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        self.hub = subprocess.Popen(
            [os.environ["TEST_HUB"], "--root", self.root, "--gated", "owner/gated"], stdout=subprocess.PIPE, text=True
        )
        self.addCleanup(self.hub.stdout.close)
        self.addCleanup(self.hub.wait)
        self.addCleanup(self.hub.terminate)
        self.url = self.hub.stdout.readline().strip()

    def pull(self, **env):
        env = os.environ | {"HF_ENDPOINT": self.url, "HF_HUB_CACHE": str(self.cache)} | env
        return subprocess.run([os.environ["PULL"], MODEL], env=env, capture_output=True, text=True)

    def check(self, snapshot):
        for name, content in FILES.items():
            self.assertEqual((Path(snapshot) / name).read_bytes(), content, name)

    def test_python_finds_what_hearth_downloaded(self):
        done = self.pull()
        self.assertEqual(done.returncode, 0, done.stderr)
        found = snapshot_download(MODEL, cache_dir=self.cache, local_files_only=True)
        self.check(found)
        commit = HfApi(endpoint=self.url).model_info(MODEL).sha
        self.assertEqual(Path(found).name, commit)

    def test_python_lays_files_as_hearth_does(self):
        self.assertEqual(self.pull().returncode, 0)
        theirs = self.dir / "theirs"
        snapshot_download(MODEL, cache_dir=theirs, endpoint=self.url)
        ours, theirs = (cache / f"models--{MODEL.replace('/', '--')}" for cache in (self.cache, theirs))
        for part in ("blobs", "snapshots", "refs"):
            compared = filecmp.dircmp(ours / part, theirs / part)
            self.assertEqual((compared.left_only, compared.right_only), ([], []), part)
        links = {name: os.readlink(path) for name in FILES for path in theirs.glob(f"snapshots/*/{name}")}
        self.assertEqual(links, {name: os.readlink(path) for name in FILES for path in ours.glob(f"snapshots/*/{name}")})
        self.assertEqual((ours / "refs/main").read_text(), (theirs / "refs/main").read_text())

    def test_hearth_uses_what_python_downloaded(self):
        self.check(snapshot_download(MODEL, cache_dir=self.cache, endpoint=self.url))
        blobs = self.cache / f"models--{MODEL.replace('/', '--')}" / "blobs"
        before = {path.name: path.stat().st_mtime_ns for path in blobs.iterdir()}
        done = self.pull()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(before, {path.name: path.stat().st_mtime_ns for path in blobs.iterdir()})

    def test_the_test_hub_answers_python_as_the_real_one_does(self):
        api = HfApi(endpoint=self.url, token=False)
        names = {file.path for file in api.list_repo_tree(MODEL, recursive=True)}
        self.assertEqual(names, set(FILES))
        self.assertEqual([model.id for model in api.list_models(search="TINY")], [MODEL])
        with self.assertRaises(RepositoryNotFoundError):
            api.model_info("owner/nothing")
        with self.assertRaises(GatedRepoError):
            api.model_info("owner/gated")


if __name__ == "__main__":
    unittest.main()
